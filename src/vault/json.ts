/**
 * Reads JSON as Vault sends it: bounded, strict UTF-8, and without changing numbers.
 */
import { fieldsOf } from '../core/index.ts';

/** A JSON object whose members have not been checked. */
export type JsonObject = Record<string, unknown>;

/** The longest duration in Go. Longer ones would overflow sums of times. */
const MAX_SECONDS = 9_223_372_036;
/** Digits that a double always preserves. */
const EXACT_DIGITS = 15;

/**
 * Parses a JSON text. A number that a double cannot represent (a 64-bit ID, say) becomes a string of its
 * digits, so that it is written to a file as it was stored.
 *
 * @throws SyntaxError, or TypeError if the bytes are not UTF-8.
 */
export function parseJson(bytes: Uint8Array): unknown {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  return JSON.parse(text, keepNumber);
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
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number > 0 ? number : 0;
}

/** The member in seconds as milliseconds; at most what Vault itself can count (292 years). */
export function secondsAt(parent: JsonObject | undefined, name: string): number {
  return Math.min(numberAt(parent, name), MAX_SECONDS) * 1000;
}

/** @see https://tc39.es/proposal-json-parse-with-source/ */
function keepNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== 'number' || source === undefined || String(value) === source) return value;
  const digits = source.replace(/e.*$/i, '').replace(/\D/g, '').length;
  return Number.isFinite(value) && digits <= EXACT_DIGITS ? value : source;
}
