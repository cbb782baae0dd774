/**
 * Escapes a text unit by unit, when it is known how long it becomes.
 */
import { unitBytes, type WorkBudget } from './work.ts';

/** Steps that escaping takes however short the text: arrays are made. */
const ESCAPE_STEPS = 16;

/** What is written instead of a UTF-16 unit; undefined where it stays. */
export type Escape = (unit: number, at: number) => string | undefined;

/**
 * The text with every unit that `special` finds written as `escape` says. Memory is that of the result twice, and charged for;
 * `String.replace` with a function would take up to a hundred bytes for each unit that it replaces.
 */
export function escapeUnits(
  work: WorkBudget,
  text: string,
  special: RegExp,
  escape: Escape,
): string {
  if (!special.test(text)) return text;
  const length = escapedLength(work, text, escape);
  const bytes = unitBytes([text]);
  work.make(2 * length * bytes);
  const units = bytes === 1 ? new Uint8Array(length) : new Uint16Array(length);
  let end = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    const escaped = escape(unit, at);
    if (escaped === undefined) {
      units[end] = unit;
      end += 1;
    } else {
      for (let index = 0; index < escaped.length; index += 1) {
        units[end + index] = escaped.charCodeAt(index);
      }
      end += escaped.length;
    }
  }
  return Buffer.from(units.buffer).toString(bytes === 1 ? 'latin1' : 'utf16le');
}

function escapedLength(work: WorkBudget, text: string, escape: Escape): number {
  work.read(text.length);
  let length = 0;
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const escaped = escape(text.charCodeAt(at), at);
    length += escaped?.length ?? 1;
    if (escaped !== undefined) count += 1;
  }
  work.step(ESCAPE_STEPS + count);
  return length;
}

/** `\\uXXXX`, as JSON, YAML, TOML and Java's properties have it. */
export function unicodeEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
