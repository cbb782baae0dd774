/**
 * The shipped templates: `templates/<format>.hbs`. Ring: template.
 */
import { readFileSync } from 'node:fs';
import { VouchsafeError } from '../core/index.ts';
import { parseTemplate } from './template.ts';
import type { Template } from './tree.ts';

/** Names of the shipped templates. */
export type FormatName = 'json' | 'env' | 'properties' | 'yaml' | 'raw';

/** The directory of the templates as seen from a bundle in `dist`, and from this source file. */
const DIRECTORIES = ['../templates/', '../../templates/'];

const parsed = new Map<FormatName, Template>();

/**
 * The template of a shipped format. Its root context is the secret's data, or the one value picked by `#key`.
 * Read from disk at first use.
 */
export function formatTemplate(format: FormatName): Template {
  const template = parsed.get(format) ?? parseTemplate(read(format), `${format} format`);
  parsed.set(format, template);
  return template;
}

function read(format: FormatName): string {
  let cause: unknown;
  for (const directory of DIRECTORIES) {
    try {
      return readFileSync(new URL(`${directory}${format}.hbs`, import.meta.url), 'utf8');
    } catch (error) {
      cause = error;
    }
  }
  throw new VouchsafeError(
    'ERR_TEMPLATE_UNREADABLE',
    `the shipped template ${format}.hbs cannot be read; is the installation complete?`,
    { cause },
  );
}
