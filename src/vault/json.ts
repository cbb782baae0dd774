/**
 * Reads JSON as Vault sends it: strict UTF-8, and numbers with their digits.
 */
import { fieldsOf, isNumber, parseExactJson } from '../core/index.ts';

/** A JSON object whose members have not been checked. */
export type JsonObject = Record<string, unknown>;

/** The longest duration in Go. Longer ones would overflow sums of times. */
const MAX_SECONDS = 9_223_372_036;

/**
 * Parses a JSON text; see {@link parseExactJson}.
 *
 * @throws SyntaxError, or TypeError if the bytes are not UTF-8.
 */
export function parseJson(bytes: Uint8Array): unknown {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  return parseExactJson(text);
}

/** The member as an object; empty if it is not one. */
export function objectAt(parent: JsonObject | undefined, name: string): JsonObject {
  const value = parent?.[name];
  return fieldsOf(value);
}

/** The member as a string; empty if it is not one. */
export function stringAt(parent: JsonObject | undefined, name: string): string {
  const value = parent?.[name];
  return typeof value === 'string' ? value : '';
}

/** The strings of a member that is a list. */
export function stringsAt(parent: JsonObject | undefined, name: string): readonly string[] {
  const value = parent?.[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** The member as a non-negative number, also if Vault sends it as a string; 0 if it is not a number. */
export function numberAt(parent: JsonObject | undefined, name: string): number {
  const value = parent?.[name];
  const isText = typeof value === 'string' && value !== '';
  const number = isText || isNumber(value) ? Number(value) : 0;
  return Number.isFinite(number) && number > 0 ? number : 0;
}

/** The member in seconds as milliseconds; at most what Vault itself can count (292 years). */
export function secondsAt(parent: JsonObject | undefined, name: string): number {
  return Math.min(numberAt(parent, name), MAX_SECONDS) * 1000;
}
