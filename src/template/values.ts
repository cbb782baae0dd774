/**
 * Types, own keys and truth of values in templates. Prototypes are never read.
 */
import { isNumber, isZero, NumberText } from '../core/index.ts';

/** Stands for a value that is not available yet. Values computed from it are pending, too. */
export const PENDING: unique symbol = Symbol('pending');

/** Limit of keys that an error names. */
const MAX_KEYS_NAMED = 20;

/** The name of a value's type in errors. */
export function typeName(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string') return 'text';
  if (isNumber(value)) return 'a number';
  if (typeof value === 'boolean') return 'a boolean';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Uint8Array) return 'binary data';
  return isRecord(value) ? 'an object' : 'a value of unknown type';
}

/** True for a plain object, as in JSON. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** `Array.isArray` with `unknown` elements. */
export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

export function isNullish(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** Strings, numbers and booleans as text; undefined for other values. */
export function scalarText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isNumber(value) || typeof value === 'boolean' ? String(value) : undefined;
}

/** Truth as in Handlebars: false for false, 0, NaN, empty text, null, missing values and empty lists. */
export function isTruthy(value: unknown): boolean {
  if (value instanceof NumberText) return !isZero(value);
  return Boolean(value) && !(Array.isArray(value) && value.length === 0);
}

/** True for values that `default` replaces and `required` rejects: missing, null, empty text. */
export function isAbsent(value: unknown): boolean {
  return isNullish(value) || value === '';
}

/** True if `key` is an own property of `value`; as in Handlebars, also of text and lists. */
export function hasKey(value: unknown, key: string): boolean {
  if (isNullish(value) || value instanceof NumberText) return false;
  return Object.hasOwn(Object(value) as object, key); // Object() of a non-nullish value is an object
}

/** The value of a key that {@link hasKey} found. */
export function readKey(value: unknown, key: string): unknown {
  return (value as Readonly<Record<string, unknown>>)[key]; // an own property, by hasKey
}

/** The keys of an object for an error message: at most 20 names, shortened, never values. */
export function keysNote(value: unknown): string {
  if (!isRecord(value)) return isList(value) ? `a list of ${value.length}` : typeName(value);
  const keys = Object.keys(value);
  if (keys.length === 0) return 'an object without keys';
  const named = keys.slice(0, MAX_KEYS_NAMED).map(quoteName).join(', ');
  return `keys: ${named}${keys.length > MAX_KEYS_NAMED ? `, and ${keys.length - MAX_KEYS_NAMED} more` : ''}`;
}

/** A name for an error message: quoted if it has special characters, at most 64 characters. */
export function quoteName(name: string): string {
  const short = shortened(name, 64);
  return /^[\w.-]+$/.test(short) ? short : JSON.stringify(short);
}

/** The beginning of a text, with an ellipsis if it is longer than `most` characters. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
