/**
 * Text that people see: what steers a terminal, or shows in another order than it is written, is refused in names and
 * printed escaped.
 */

/** Control, format (bidi), surrogate and private characters, separators of lines and paragraphs. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;
const ALL = new RegExp(UNPRINTABLE, 'gu');
const ALL_BUT_LAYOUT = new RegExp(`(?![\\n\\t])${UNPRINTABLE.source}`, 'gu');

/** True for a name that shows as it is. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text);
}

/** One line in which such characters are escaped as in JSON: `\u001b`. */
export function printableLine(text: string): string {
  return text.replace(ALL, escaped);
}

/** The same for text of several lines, whose line ends and tabs stay. JSON stays JSON of the same meaning. */
export function printableText(text: string): string {
  return text.replace(ALL_BUT_LAYOUT, escaped);
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    const code = character.charCodeAt(index).toString(16).padStart(4, '0');
    return `\\u${code}`;
  }).join('');
}
