/**
 * Parses JSON after its size, depth and number of values were checked against the limits.
 *
 * @see RFC 8259
 */
import { measureJson, parseExactJson } from '../core/index.ts';
import { Fault, valueFault } from './fault.ts';
import { textBytes, type WorkBudget } from './work.ts';

/** Deepest nesting that helpers read or write. */
export const MAX_DEPTH = 100;
/** Longest key, in UTF-16 units. V8 hashes longer keys only by their length, so they collide. */
const MAX_KEY_LENGTH = 16_000;
/** Steps for each value of a JSON text with numbers that keep their text, in addition to the others. */
const NUMBER_STEPS = 8;

/**
 * The value of a JSON text.
 *
 * @throws Fault `ERR_TEMPLATE_VALUE` for what is not JSON, nested deeper than 100, or has a key longer than 16 000;
 *   `ERR_TEMPLATE_LIMIT` from `work`.
 */
export function parseJson(work: WorkBudget, text: string): unknown {
  const found = measureJson(text, { parts: Infinity, depth: MAX_DEPTH });
  if (found.depth > MAX_DEPTH) throw valueFault(`the JSON is nested deeper than ${MAX_DEPTH}`);
  if (found.longestKey > MAX_KEY_LENGTH) {
    throw valueFault(`the JSON has a key of more than ${MAX_KEY_LENGTH} characters`);
  }
  const { keys } = found;
  // The text itself is a value; `parts` counts each member and its key.
  const values = 1 + found.parts - keys;
  work.make(textBytes(text));
  work.makeItems(Math.max(0, values - keys));
  work.makeKeys(keys);
  try {
    return parseExactJson(text, () => work.step(NUMBER_STEPS * values));
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw valueFault('argument 1 is not JSON');
  }
}
