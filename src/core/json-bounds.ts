/**
 * How much work a JSON text would be, told before it is parsed. Ring: core.
 */

/** What a JSON text may hold. */
export interface JsonBounds {
  /** Most lists, objects, members and items together: each takes far more time and memory than a character. */
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

/**
 * The bound that a text goes over, or undefined. One pass, which takes about as long as reading the text; a text that
 * is not JSON is bounded as well, for a parser gives up no later than where it is not.
 */
export function jsonBoundsProblem(text: string, { parts, depth }: JsonBounds): string | undefined {
  let found = 0;
  let level = 0;
  for (let index = 0; index < text.length; index += 1) {
    switch (text.charCodeAt(index)) {
      case QUOTE:
        index = endOfString(text, index + 1);
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        level += 1;
        if (level > depth) return `it is nested deeper than ${depth} levels`;
        found += 1;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        level -= 1;
        break;
      case COMMA:
      case COLON:
        found += 1;
        break;
      default:
    }
    if (found > parts) return `it has more than ${parts} parts`;
  }
  return undefined;
}

/** The place of the closing quote, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let index = start; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === BACKSLASH) index += 1;
    else if (code === QUOTE) return index;
  }
  return text.length;
}
