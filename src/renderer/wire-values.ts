/**
 * The first part of an answer, and the members in it: every one is checked before it is used.
 */
import { isRecord, measureJson, parseExactJson } from '../core/index.ts';

/** Longest first part of an answer, in bytes: the driver parses it on the thread that serves all volumes. */
export const MAX_HEAD_BYTES = 512 * 1024;
/** Most lists, objects, members and items in it if numbers in it keep their text: each takes up to a microsecond to parse. */
export const MAX_EXACT_PARTS = 20_000;

/** An invalid answer; the process that sent it is not to be trusted any more. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Whether the driver accepts a part as the first one. */
export function isHead(part: Uint8Array | undefined): boolean {
  try {
    parseHead(part);
    return true;
  } catch {
    return false;
  }
}

/** Parses the JSON of a part. @throws WireError */
export function parseHead(part: Uint8Array | undefined): unknown {
  if (part === undefined || part.byteLength > MAX_HEAD_BYTES) throw wireError('the first part');
  try {
    const { buffer, byteOffset, byteLength } = part;
    const json = Buffer.from(buffer, byteOffset, byteLength).toString('utf8');
    return parseExactJson(json, () => {
      const { parts } = measureJson(json, { parts: MAX_EXACT_PARTS, depth: Infinity });
      if (parts > MAX_EXACT_PARTS) throw wireError('the first part');
    });
  } catch {
    throw wireError('the first part'); // V8's own message shows the text
  }
}

/** The members of an object of an answer. */
export type Members = Readonly<Record<string, unknown>>;

/** An object without inherited members. */
export function record(value: unknown): Members {
  if (!isRecord(value)) throw wireError('an object');
  return Object.setPrototypeOf(value, null) as Members; // fresh from JSON.parse: nothing else refers to it
}

export function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw wireError('a list');
}

export function text(value: unknown, most = MAX_HEAD_BYTES): string {
  if (typeof value === 'string' && value.length <= most) return value;
  throw wireError('a text');
}

export function natural(value: unknown, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) {
    return value;
  }
  throw wireError('a number');
}

export function finite(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw wireError('a number');
}

/** Names the place in the answer, never its content. */
export function wireError(what: string): WireError {
  return new WireError(`${what} of the answer is invalid`);
}
