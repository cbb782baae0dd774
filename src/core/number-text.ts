/**
 * Numbers that keep their digits: what a JS number would change stays as it is written.
 */

declare global {
  interface JSON {
    /** @see https://tc39.es/proposal-json-parse-with-source/ */
    rawJSON(text: string): object;
  }
}

/**
 * A number as JSON writes it, where a JS number has other digits: `1.10`, `1e21`, `-0`, an ID of 64 bits, `1e400`.
 * {@link exactNumber} creates it; `JSON.stringify` writes it as it is.
 */
export class NumberText {
  /** A public field, so that `isDeepStrictEqual` compares it: 1.10 is not 1.1. */
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): unknown {
    return JSON.rawJSON(this.text);
  }

  toString(): string {
    return this.text;
  }
}

/** A number of any size and precision. */
export type ExactNumber = number | NumberText;

/** The number of a JSON number's text: a JS number only if that prints the same. */
export function exactNumber(text: string): ExactNumber {
  const value = Number(text);
  return String(value) === text ? value : new NumberText(detached(text));
}

/** A copy: for V8, a part of a text keeps the whole text in memory, here a document with secrets. */
function detached(text: string): string {
  return ` ${text}`.slice(1);
}

/** True for numbers, including those that keep their text. */
export function isNumber(value: unknown): value is ExactNumber {
  return typeof value === 'number' || value instanceof NumberText;
}

/** True for zero in every notation: `0`, `-0`, `0.00`, `0e5`. */
export function isZero(value: unknown): boolean {
  if (value instanceof NumberText) return /^-?[0.]+(?:[eE]|$)/.test(value.text);
  return value === 0;
}

/** Compares by value, exactly: 1.10 equals 1.1. Negative if `a` is less, positive if it is greater, otherwise 0. */
export function compareNumbers(a: ExactNumber, b: ExactNumber): number {
  if (typeof a === 'number' && typeof b === 'number') return signOf(a, b);
  const [left, right] = [decimalOf(a), decimalOf(b)];
  // Infinity, which YAML has.
  if (left === undefined || right === undefined)
    return signOf(Number(String(a)), Number(String(b)));
  if (left.sign !== right.sign || left.sign === 0) return signOf(left.sign, right.sign);
  const magnitude = signOf(left.point, right.point) || signOf(left.digits, right.digits);
  return left.sign * magnitude;
}

/** `0.digits × 10^point`; digits start and end with another digit than 0. */
interface Decimal {
  readonly sign: -1 | 0 | 1;
  readonly digits: string;
  /** Beyond 2^53 it is rounded. */
  readonly point: number;
}

function decimalOf(value: ExactNumber): Decimal | undefined {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(String(value));
  if (parts === null) return undefined;
  const [, minus, whole = '', fraction = '', exponent = '0'] = parts;
  const all = whole + fraction;
  const start = all.search(/[1-9]/);
  if (start < 0) return { sign: 0, digits: '', point: 0 };
  let end = all.length;
  while (all[end - 1] === '0') end -= 1;
  return {
    sign: minus === '-' ? -1 : 1,
    digits: all.slice(start, end),
    point: Number(exponent) + whole.length - start,
  };
}

function signOf<T extends number | string>(a: T, b: T): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
