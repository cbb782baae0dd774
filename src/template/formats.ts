/**
 * The shipped templates: `templates/<format>.hbs`.
 */
import { readFileSync } from 'node:fs';
import { VouchsafeError } from '../core/index.ts';
import { parseTemplate } from './template.ts';
import type { Template } from './tree.ts';

/** Names of the shipped templates. */
export const FORMAT_NAMES = ['json', 'env', 'properties', 'yaml', 'raw'] as const;

/** One of {@link FORMAT_NAMES}. */
export type FormatName = (typeof FORMAT_NAMES)[number];

/** The directory of the templates, relative to a bundle in `dist` and to this source file. */
const DIRECTORIES = ['../templates/', '../../templates/'];

const parsed = new Map<FormatName, Template>();

/**
 * The template of a shipped format. Its root context is the secret's data, or the value that `#key` selects.
 * Read from disk at first use.
 */
export function formatTemplate(format: FormatName): Template {
  const template = parsed.get(format) ?? parseTemplate(read(format), `${format} format`);
  parsed.set(format, template);
  return template;
}

/** Reads all formats, for a process that cannot read files later. Errors are thrown by {@link formatTemplate}. */
export function loadFormats(): void {
  for (const format of FORMAT_NAMES) {
    try {
      formatTemplate(format);
    } catch {
      // formatTemplate reads the file again, and throws.
    }
  }
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
