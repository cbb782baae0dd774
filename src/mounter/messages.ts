/**
 * The protocol between engine and mounter: lines of JSON over a Unix socket, answered in any order.
 */
import { isRecord, type Fields } from '../core/index.ts';
import type { MountSpec } from './mounter.ts';
import type { Place } from './place.ts';

/** Longest line, in characters: the largest valid request fits. */
export const MAX_LINE = 2048;

/** A request of the engine. */
export type MounterRequest =
  | ({ readonly id: number; readonly kind: 'mount' } & MountSpec)
  | ({ readonly id: number; readonly kind: 'unmount' } & Place);

/** The answer to a request. */
export interface MounterAnswer {
  /** ID of the request. */
  readonly id: number;
  /** Why the request failed; null on success. */
  readonly error: string | null;
}

/** The exact keys of each kind of request. */
const KEYS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['mount', ['id', 'kind', 'pod', 'volume', 'sizeBytes', 'group', 'selinux']],
  ['unmount', ['id', 'kind', 'pod', 'volume']],
]);

/** Parses a line; undefined if it is not a request. The values are not checked, only their types. */
export function parseRequest(line: string): MounterRequest | undefined {
  const found = parseObject(line);
  if (found === undefined) return undefined;
  const keys = KEYS.get(found['kind']);
  if (keys === undefined || !hasExactly(found, keys) || !isId(found['id'])) return undefined;
  return hasTypes(found) ? (found as unknown as MounterRequest) : undefined; // every key was checked
}

function hasTypes({ pod, volume, sizeBytes, group, selinux }: Readonly<Record<string, unknown>>) {
  const texts = [pod, volume, selinux ?? ''];
  const numbers = [sizeBytes ?? 0, group ?? 0];
  return (
    sizeBytes !== null &&
    texts.every((one) => typeof one === 'string') &&
    numbers.every((one) => typeof one === 'number')
  );
}

/** Parses a line; undefined if it is not an answer. */
export function parseAnswer(line: string): MounterAnswer | undefined {
  const found = parseObject(line);
  if (found === undefined || !hasExactly(found, ['id', 'error'])) return undefined;
  const { id, error } = found;
  if (!isId(id) || (error !== null && typeof error !== 'string')) return undefined;
  return { id, error };
}

/**
 * Splits incoming text into lines, and passes each to `take`. Returns the function to call with incoming text; it returns false
 * once a line is longer than {@link MAX_LINE}, and drops that text.
 */
export function lineReader(take: (line: string) => void): (text: string) => boolean {
  let rest = '';
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if ([...lines, rest].some(({ length }) => length > MAX_LINE)) return false;
    lines.forEach(take);
    return true;
  };
}

function parseObject(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function hasExactly(found: object, keys: readonly string[]): boolean {
  const own = Object.keys(found);
  return own.length === keys.length && keys.every((key) => own.includes(key));
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
