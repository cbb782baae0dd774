/**
 * JSON of a text, when its size, depth and number of values are known to be within bounds. Ring: template.
 *
 * @see RFC 8259
 */
import { valueFault } from './fault.ts';
import { textBytes, type Work } from './work.ts';

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
export function parseJson(work: Work, text: string): unknown {
  const { values, keys } = measure(text);
  work.make(textBytes(text));
  work.makeItems(values - keys);
  work.makeKeys(keys);
  try {
    return JSON.parse(text) as unknown; // `any` otherwise
  } catch {
    throw valueFault('argument 1 is not JSON');
  }
}

/** How many values a text holds at most if it is JSON, and how many of them belong to keys. */
function measure(text: string): { values: number; keys: number } {
  let [values, keys, depth] = [1, 0, 0];
  let longest = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at);
        longest = Math.max(longest, end - at);
        at = end;
        break;
      }
      case OPEN_LIST:
      case OPEN_OBJECT:
        depth += 1;
        values += 1;
        if (depth > MAX_DEPTH) throw valueFault(`the JSON is nested deeper than ${MAX_DEPTH}`);
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth -= 1;
        break;
      case COMMA:
        values += 1;
        longest = 0;
        break;
      case COLON:
        keys += 1;
        if (longest > MAX_KEY_LENGTH) {
          throw valueFault(`the JSON has a key of more than ${MAX_KEY_LENGTH} characters`);
        }
    }
  }
  return { values: Math.max(values, keys), keys };
}

/** Where the string that begins at `start` ends. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === BACKSLASH) at += 1;
    else if (unit === QUOTE) return at;
  }
  return text.length;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
