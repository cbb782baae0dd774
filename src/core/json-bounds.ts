/**
 * Measures the cost of a JSON text before it is parsed.
 */

/** Limits of a JSON text. */
export interface JsonBounds {
  /** Lists, objects, members and items together: each takes far more time and memory than a character. */
  readonly parts: number;
  /** Deepest nesting of lists and objects. */
  readonly depth: number;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Size of a JSON text. */
export interface JsonMeasure {
  /** Lists, objects, members and items together. */
  readonly parts: number;
  /** Members of objects. */
  readonly keys: number;
  readonly depth: number;
  /** Length of the longest member name, including its opening quote, in UTF-16 units. */
  readonly longestKey: number;
}

/** The limit that a text exceeds, or undefined; see {@link measureJson}. */
export function jsonBoundsProblem(text: string, bounds: JsonBounds): string | undefined {
  const found = measureJson(text, bounds);
  if (found.depth > bounds.depth) return `it is nested deeper than ${bounds.depth} levels`;
  return found.parts > bounds.parts ? `it has more than ${bounds.parts} parts` : undefined;
}

/**
 * Measures a text up to where it exceeds a limit, in one pass over its characters. The measure is also an upper bound for
 * invalid JSON: a parser stops at the first error.
 */
export function measureJson(text: string, bounds: JsonBounds): JsonMeasure {
  let [parts, keys, level, depth] = [0, 0, 0, 0];
  let [lastString, longestKey] = [0, 0];
  for (let index = 0; index < text.length; index += 1) {
    switch (text.charCodeAt(index)) {
      case QUOTE: {
        const end = endOfString(text, index + 1);
        lastString = end - index;
        index = end;
        break;
      }
      case OPEN_LIST:
      case OPEN_OBJECT:
        level += 1;
        depth = Math.max(depth, level);
        parts += 1;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        level -= 1;
        break;
      case COLON:
        keys += 1;
        longestKey = Math.max(longestKey, lastString);
        parts += 1;
        break;
      case COMMA:
        parts += 1;
        break;
      default:
    }
    if (depth > bounds.depth || parts > bounds.parts) break;
  }
  return { parts, keys, depth, longestKey };
}

/** The index of the closing quote, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let index = start; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === BACKSLASH) index += 1;
    else if (code === QUOTE) return index;
  }
  return text.length;
}
