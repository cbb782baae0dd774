/**
 * JSON of a text, when its size, depth and number of values are known to be within bounds.
 *
 * @see RFC 8259
 */
import { measureJson } from '../core/index.ts';
import { valueFault } from './fault.ts';
import { textBytes, type WorkBudget } from './work.ts';

/** Deeper values are refused: no helper writes them either. */
export const MAX_DEPTH = 100;
/** Longest key, in UTF-16 units. V8 takes longer ones for equal until it has compared them whole. */
const MAX_KEY_LENGTH = 16_000;

/**
 * The value that a JSON text stands for.
 *
 * @throws Fault `ERR_TEMPLATE_VALUE` for what is not JSON, nested deeper than 100, or has a key longer than 16 000;
 *   `ERR_TEMPLATE_LIMIT` by `work`.
 */
export function parseJson(work: WorkBudget, text: string): unknown {
  const found = measureJson(text, { parts: Infinity, depth: MAX_DEPTH });
  if (found.depth > MAX_DEPTH) throw valueFault(`the JSON is nested deeper than ${MAX_DEPTH}`);
  if (found.longestKey > MAX_KEY_LENGTH) {
    throw valueFault(`the JSON has a key of more than ${MAX_KEY_LENGTH} characters`);
  }
  const { keys } = found;
  // The text itself is a value, and each member is counted with its key.
  const values = 1 + found.parts - keys;
  work.make(textBytes(text));
  work.makeItems(Math.max(0, values - keys));
  work.makeKeys(keys);
  try {
    return JSON.parse(text) as unknown; // `any` otherwise
  } catch {
    throw valueFault('argument 1 is not JSON');
  }
}
