/**
 * What templates may know of a value: its type, its own keys, whether it counts as true. Prototypes are never
 * looked at.
 */

/** Stands for a value that is not there yet. Whatever is made of it is pending too. */
export const PENDING: unique symbol = Symbol('pending');

/** At most so many keys are named in an error. */
const MAX_KEYS_NAMED = 20;

/** What a type is called in errors. */
export function typeName(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string') return 'text';
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number';
  if (typeof value === 'boolean') return 'a boolean';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Uint8Array) return 'binary data';
  return isRecord(value) ? 'an object' : 'a value of unknown type';
}

/** True for what JSON calls an object. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** `Array.isArray` that gives `unknown` elements. */
export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

export function isNullish(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** Text of what prints as itself: text, numbers, booleans. Undefined for the rest. */
export function scalarText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') {
    return String(value);
  }
  return undefined;
}

/** Handlebars' notion of truth: everything but false, 0, NaN, empty text, null, missing and the empty list. */
export function isTruthy(value: unknown): boolean {
  return Boolean(value) && !(Array.isArray(value) && value.length === 0);
}

/** True for what `default` and `required` replace or refuse: missing, null, empty text. */
export function isAbsent(value: unknown): boolean {
  return isNullish(value) || value === '';
}

/** True when `key` can be read from `value`: own properties only, and like Handlebars of text and lists too. */
export function hasKey(value: unknown, key: string): boolean {
  if (isNullish(value)) return false;
  return Object.hasOwn(Object(value) as object, key); // Object() of a value that is not nullish is an object.
}

/** The value of a key that {@link hasKey} found. */
export function readKey(value: unknown, key: string): unknown {
  return (value as Readonly<Record<string, unknown>>)[key]; // hasKey has found it as an own property.
}

/** The end of a sentence that says which keys there are: names alone, at most 20, shortened. */
export function keysNote(value: unknown): string {
  if (!isRecord(value)) return isList(value) ? `a list of ${value.length}` : typeName(value);
  const keys = Object.keys(value);
  if (keys.length === 0) return 'an object without keys';
  const named = keys.slice(0, MAX_KEYS_NAMED).map(quoteName).join(', ');
  return `keys: ${named}${keys.length > MAX_KEYS_NAMED ? `, and ${keys.length - MAX_KEYS_NAMED} more` : ''}`;
}

/** A name as an error shows it: bare when plain, else quoted, never longer than 64 characters. */
export function quoteName(name: string): string {
  const short = shortened(name, 64);
  return /^[\w.-]+$/.test(short) ? short : JSON.stringify(short);
}

/** The begin of a text that is too long to be repeated in an error. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
