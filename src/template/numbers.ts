/**
 * Numbers of templates: with the digits that they are written with.
 */
import { compareNumbers, exactNumber, isNumber, type ExactNumber } from '../core/index.ts';
import { valueFault } from './fault.ts';
import { typeName } from './values.ts';

/** Longest text that is read as a number. */
const MAX_CHARS = 400;

/** A number, or a decimal number in a text. Leading zeros are dropped. */
export function numberIn(value: unknown): ExactNumber | undefined {
  if (isNumber(value)) return value;
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (text.length > MAX_CHARS || !/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text)) return undefined;
  return exactNumber(text.replace(/^(-?)0+(?=\d)/, '$1'));
}

/** As {@link numberIn}. @throws Fault `ERR_TEMPLATE_VALUE` for anything else. */
export function requiredNumber(value: unknown): ExactNumber {
  const number = numberIn(value);
  if (number !== undefined) return number;
  const what = typeof value === 'string' ? 'text that is not a number' : typeName(value);
  throw valueFault(`argument 1 is ${what}`);
}

/** True if both are numbers, not texts, of the same value: 1.10 and 1.1. */
export function isSameNumber(a: unknown, b: unknown): boolean {
  return isNumber(a) && isNumber(b) && compareNumbers(a, b) === 0;
}
