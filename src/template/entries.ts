/**
 * What `each` iterates over.
 */
import { valueFault } from './fault.ts';
import { isList, isRecord, isTruthy, typeName } from './values.ts';
import type { WorkBudget } from './work.ts';

/** The items of a collection. */
interface Entries {
  readonly count: number;
  readonly entries: Iterable<readonly [key: unknown, item: unknown]>;
}

/** The items of a list, an object or a Map, created lazily; none of what is false. Other values are a fault. */
export function entriesOf(value: unknown, work: WorkBudget): Entries {
  if (isList(value)) return { count: value.length, entries: value.entries() };
  if (isRecord(value)) {
    const keys = Object.keys(value);
    work.makeItems(keys.length);
    return { count: keys.length, entries: membersOf(value, keys) };
  }
  if (value instanceof Map) {
    work.makeItems(value.size);
    return { count: value.size, entries: [...value].entries() };
  }
  if (!isTruthy(value)) return { count: 0, entries: [] };
  const hint = typeof value === 'string' ? '; parse it with parseJson or split first' : '';
  throw valueFault(`it iterates over a list or an object, not over ${typeName(value)}${hint}`);
}

function* membersOf(
  record: Readonly<Record<string, unknown>>,
  keys: readonly string[],
): Generator<readonly [key: string, item: unknown]> {
  for (const key of keys) yield [key, record[key]];
}
