/**
 * Shows a rendered file without its secrets.
 *
 * What may be shown is what is known not to be secret: names of keys in the shipped formats, words that stand
 * in the template, and the frame of PEM and JSON. Everything else becomes the mask.
 */
import type { FileConfig } from '../../config/index.ts';

/** Stands for a secret of any length. */
export const MASK = '********';

/** Lines of a shown file; the rest is counted. */
const MAX_LINES = 20;

const ASSIGNMENT = /^(\s*(?:export\s+)?["']?)([A-Za-z_][\w.-]{0,63})(["']?\s*[=:]\s*)(.+)$/;

/** The lines of a file as they may be shown. */
export function maskFile(file: FileConfig, text: string): readonly string[] {
  return short(maskLines(file, text));
}

/** The lines of a file as they are, where a person asked for that. */
export function showFile(text: string): readonly string[] {
  return short(lines(text));
}

function maskLines(file: FileConfig, text: string): readonly string[] {
  if (text.startsWith('-----BEGIN ')) return maskPem(text);
  const { source } = file;
  if (source.kind === 'format' && source.format === 'json') return maskJson(text);
  const isPublic = publicWords(file);
  if (isPublic === undefined) return [`${MASK} (${Buffer.byteLength(text)} bytes)`];
  return lines(text).map((line) => {
    const [, before = '', key = '', between = '', value = ''] = ASSIGNMENT.exec(line) ?? [];
    // `abc=` may be the end of a Base64 text: only a key with a real value is a key.
    if (key !== '' && isPublic(key) && /[^=\s]/.test(value)) {
      return `${before}${key}${between}${MASK}`;
    }
    return line.trim() === '' ? '' : MASK;
  });
}

/** Tells words that may be shown; undefined where no word may. */
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

function short(all: readonly string[]): readonly string[] {
  if (all.length <= MAX_LINES) return all;
  return [...all.slice(0, MAX_LINES), `... and ${all.length - MAX_LINES} more lines`];
}
