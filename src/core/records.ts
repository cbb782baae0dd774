import { NumberText } from './number-text.ts';

/** The fields of an object from outside: of JSON, YAML or an API. */
export type Fields = Readonly<Record<string, unknown>>;

/** True for an object that is neither a list nor a number. */
export function isRecord(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null) return false;
  return !Array.isArray(value) && !(value instanceof NumberText);
}

/** The fields of an object that is not a list; none for any other value. */
export function fieldsOf(value: unknown): Fields {
  return isRecord(value) ? value : {};
}
