/**
 * Prints a rendered file without its secrets.
 *
 * Only what is known not to be secret is printed: names of keys in the shipped formats, words of the template, and
 * the structure of PEM and JSON. Everything else is masked.
 */
import type { FileConfig } from '../config/agent/index.ts';

/** Replaces a secret of any length. */
const MASK = '********';

/** Most lines printed of a file; the rest is counted. */
const MAX_LINES = 20;

const ASSIGNMENT = /^(\s*(?:export\s+)?["']?)([A-Za-z_][\w.-]{0,63})(["']?\s*[=:]\s*)(.+)$/;

/** How to turn files into printable lines: with or without masking. */
export function printableLines(
  showSecrets: boolean,
): (file: FileConfig, text: string) => readonly string[] {
  return showSecrets ? (_file, text) => truncate(lines(text)) : maskFile;
}

/** The lines of a file with secrets masked. */
export function maskFile(file: FileConfig, text: string): readonly string[] {
  return truncate(maskLines(file, text));
}

function maskLines(file: FileConfig, text: string): readonly string[] {
  if (text.startsWith('-----BEGIN ')) return maskPem(text);
  const { source } = file;
  if (source.kind === 'format' && source.format === 'json') return maskJson(text);
  const isPublic = publicWords(file);
  if (isPublic === undefined) return [`${MASK} (${Buffer.byteLength(text)} bytes)`];
  return lines(text).map((line) => {
    const [, before = '', key = '', between = '', value = ''] = ASSIGNMENT.exec(line) ?? [];
    // `abc=` may be the end of a Base64 text: a key must have a value.
    if (key !== '' && isPublic(key) && /[^=\s]/.test(value)) {
      return `${before}${key}${between}${MASK}`;
    }
    return line.trim() === '' ? '' : MASK;
  });
}

/** Decides which words may be printed; undefined if none may. */
function publicWords(file: FileConfig): ((word: string) => boolean) | undefined {
  const { source } = file;
  switch (source.kind) {
    case 'format':
      return source.format === 'raw' ? undefined : () => true;
    case 'template':
      return (word) => source.text.includes(word);
    case 'template-file':
    case 'jwt-svid':
    case 'x509-svid':
      return undefined;
  }
}

function maskJson(text: string): readonly string[] {
  try {
    const masked: unknown = JSON.parse(text, (_key, value: unknown) =>
      typeof value === 'object' && value !== null ? value : MASK,
    );
    return lines(JSON.stringify(masked, undefined, 2));
  } catch {
    return [MASK];
  }
}

function maskPem(text: string): readonly string[] {
  return lines(text).flatMap((line) => {
    if (line.startsWith('-----BEGIN ')) return [line, MASK];
    return line.startsWith('-----END ') ? [line] : [];
  });
}

function lines(text: string): readonly string[] {
  return text.replace(/\n$/, '').split('\n');
}

function truncate(all: readonly string[]): readonly string[] {
  if (all.length <= MAX_LINES) return all;
  return [...all.slice(0, MAX_LINES), `... and ${all.length - MAX_LINES} more lines`];
}
