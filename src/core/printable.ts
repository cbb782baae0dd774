/**
 * Unprintable characters: those that control a terminal or change the order of text are rejected in names and escaped
 * in output.
 */

/** Control, format (bidi), surrogate and private-use characters, line and paragraph separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;
const ALL = new RegExp(UNPRINTABLE, 'gu');
const ALL_BUT_LAYOUT = new RegExp(`(?![\\n\\t])${UNPRINTABLE.source}`, 'gu');

/** True for a name without unprintable characters. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text);
}

/** Escapes unprintable characters, including line breaks, as in JSON: `\u001b`. */
export function printableLine(text: string): string {
  return text.replace(ALL, escaped);
}

/** The same for several lines: keeps line feeds and tabs. The meaning of JSON does not change. */
export function printableText(text: string): string {
  return text.replace(ALL_BUT_LAYOUT, escaped);
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    const code = character.charCodeAt(index).toString(16).padStart(4, '0');
    return `\\u${code}`;
  }).join('');
}
