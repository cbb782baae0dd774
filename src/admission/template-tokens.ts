/**
 * An upper bound of the tokens of a template, without parsing it.
 */

const TAB = 0x09;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
/** For each `{{!-- --}}` the lexer copies the rest of the template. */
const TOKENS_OF_LONG_COMMENT = 10;
const COMMENT_END = /\}\}/g;
const LONG_COMMENT_END = /--~?\}\}/g;
/** The end of a string, or of a name in brackets. */
const ENDS: Readonly<Record<string, string>> = { '"': '"', "'": "'", '[': ']' };

/**
 * Words and signs within `{{` and `}}`, which take the time of parsing: never fewer than the tokens of Handlebars. One
 * pass.
 */
export function countTokens(source: string): number {
  let count = 0;
  for (let at = source.indexOf('{{'); at >= 0; at = source.indexOf('{{', at)) {
    count += 1;
    const isEscaped = source[at - 1] === '\\' && source[at - 2] !== '\\';
    const tag = isEscaped ? { tokens: 0, end: at + 2 } : readTag(source, at + 2);
    count += tag.tokens;
    at = tag.end;
  }
  return count;
}

interface Read {
  readonly tokens: number;
  /** Where to continue. */
  readonly end: number;
}

function readTag(source: string, start: number): Read {
  const comment = source[start] === '~' ? start + 1 : start;
  if (source[comment] === '!') return readComment(source, comment);
  let tokens = 0;
  let at = start;
  while (at < source.length) {
    if (source.startsWith('}}', at)) return { tokens: tokens + 1, end: at + 2 };
    const next = readToken(source, at);
    tokens += next.tokens;
    at = next.end;
  }
  return { tokens, end: at };
}

function readComment(source: string, start: number): Read {
  const isLong = source.startsWith('--', start + 1);
  const end = new RegExp(isLong ? LONG_COMMENT_END : COMMENT_END);
  end.lastIndex = start + 1;
  // Everything after a comment without an end belongs to it.
  const isClosed = end.test(source);
  const tokens = isLong ? TOKENS_OF_LONG_COMMENT : 1;
  return { tokens, end: isClosed ? end.lastIndex : source.length };
}

function readToken(source: string, at: number): Read {
  const code = source.charCodeAt(at);
  if (code === SPACE || (code >= TAB && code <= CARRIAGE_RETURN)) return { tokens: 0, end: at + 1 };
  const quote = ENDS[source[at] ?? ''];
  if (quote === undefined) return { tokens: 1, end: endOfWord(source, at) };
  const end = endOfQuoted(source, at + 1, quote);
  // Without an end, each character after it may be a token.
  if (end === undefined) return { tokens: source.length - at, end: source.length };
  return { tokens: 1, end };
}

/** The end of a word; another sign is a word of its own. */
function endOfWord(source: string, start: number): number {
  let end = start;
  while (end < source.length && isLetter(source.charCodeAt(end))) end += 1;
  return Math.max(end, start + 1);
}

/** Letters, digits and `_`; other characters of a name make several words of it, never fewer. */
function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x5f;
}

/** The index after the end; undefined if there is none. */
function endOfQuoted(source: string, start: number, quote: string): number | undefined {
  for (let end = source.indexOf(quote, start); end >= 0; end = source.indexOf(quote, end + 1)) {
    if (source[end - 1] !== '\\') return end + 1;
  }
  return undefined;
}
