/**
 * One value that the files depend on, and how it waits after a failure. Ring: agent.
 */
import { dependencyKey, type Dependency, type Random, type VouchsafeError } from '../core/index.ts';
import { createBackoff, type Backoff } from '../lifecycle/index.ts';
import type { Held } from './obtain.ts';

/** Waits after a failure: short while a pod waits for its start, as slow as the refresh once files are there. */
const ABSENT_BACKOFF = { minMs: 500, maxMs: 30_000 } as const;
const HELD_BACKOFF = { minMs: 1000, maxMs: 300_000 } as const;
/** One dependency. */
export interface Entry {
  readonly key: string;
  readonly dependency: Dependency;
  refreshMs: number;
  held: Held | undefined;
  /** The last failure, until the next success. */
  error: VouchsafeError | undefined;
  /** Monotonic milliseconds of the next step. */
  atMs: number;
  /** Monotonic milliseconds of the last read or renewal that succeeded. */
  confirmedAtMs: number;
  isUnderWay: boolean;
  backoff: Backoff;
}

/** A new entry, due now or when what is held says so. */
export function createEntry(
  dependency: Dependency,
  start: { refreshMs: number; held: Held | undefined; random: Random; nowMs: number },
): Entry {
  const { refreshMs, held, random, nowMs } = start;
  return {
    key: dependencyKey(dependency),
    dependency,
    refreshMs,
    held,
    error: undefined,
    atMs: held?.plan.atMs ?? nowMs,
    confirmedAtMs: nowMs,
    isUnderWay: false,
    backoff: backoffOf({ held, refreshMs }, random),
  };
}

/** A value that is absent or will expire is worth more haste than one that stays good. */
export function backoffOf(
  { held, refreshMs }: Pick<Entry, 'held' | 'refreshMs'>,
  random: Random,
): Backoff {
  if (held === undefined || held.plan.expiresAtMs !== Infinity) {
    return createBackoff({ ...ABSENT_BACKOFF, random });
  }
  const { minMs, maxMs } = HELD_BACKOFF;
  const capMs = Math.max(minMs, Math.min(maxMs, refreshMs || maxMs));
  return createBackoff({ minMs, maxMs: capMs, random });
}
