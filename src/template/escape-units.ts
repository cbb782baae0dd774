/**
 * Escapes a string unit by unit, after its resulting length is known and charged for.
 */
import { unitBytes, type WorkBudget } from './work.ts';

/** Fixed cost of escaping, in steps: arrays are allocated. */
const ESCAPE_STEPS = 16;

/** The replacement of a UTF-16 unit; undefined to keep it. */
export type Escape = (unit: number, at: number) => string | undefined;

/**
 * Replaces units by `escape`; a text that does not match `special` is returned as it is. Takes, and charges for, twice the
 * memory of the result: `String.replace` with a function takes up to a hundred bytes for each replaced unit.
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

/** `\\uXXXX`, as in JSON, YAML, TOML and Java properties. */
export function unicodeEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
