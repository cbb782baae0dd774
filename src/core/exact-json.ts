/**
 * The only reader of JSON whose numbers reach a file: it keeps their digits.
 *
 * @see RFC 8259
 */
import { exactNumber } from './number-text.ts';

/**
 * Numbers that a JS number may print differently: with fraction or exponent, of 16 digits and more, and -0. Also finds some
 * in strings, which costs only time.
 */
const CANDIDATES =
  /[[:,\s](?:-?(?:(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)|[1-9]\d{15,})|-0)(?=[\s,\]}])/g;

/**
 * Parses a JSON text. Numbers that a JS number would print differently become a `NumberText`; what this project
 * wrote with `JSON.stringify` is read back identically. `onSlow` is called before the slow way of parsing, if that is needed.
 *
 * @throws SyntaxError
 */
export function parseExactJson(text: string, onSlow?: () => void): unknown {
  // A reviver takes ten times as long for many values, and few texts have such numbers.
  if (!mayHaveNumberTexts(text)) return JSON.parse(text);
  onSlow?.();
  return JSON.parse(text, keepNumber);
}

function mayHaveNumberTexts(text: string): boolean {
  if (/^\s*[-\d]/.test(text)) return true;
  for (const [found] of text.matchAll(CANDIDATES)) {
    const number = found.slice(1);
    if (String(Number(number)) !== number) return true;
  }
  return false;
}

/** @see https://tc39.es/proposal-json-parse-with-source/ */
function keepNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  return typeof value !== 'number' || source === undefined ? value : exactNumber(source);
}
