/**
 * One value that the files depend on, and how it waits after a failure.
 */
import {
  dependencyKey,
  type Clock,
  type Dependency,
  type Random,
  type VouchsafeError,
} from '../core/index.ts';
import { createBackoff, type Backoff } from '../async/index.ts';
import type { ObtainedValue } from './obtain.ts';
import { START_WAITS, waitsOfLife, waitsOfRefresh, type Waits } from './schedule.ts';

/** One dependency. */
export interface Entry {
  /** Names it where its path is not to be seen: 1 is the first that was asked for. */
  readonly number: number;
  readonly key: string;
  readonly dependency: Dependency;
  refreshMs: number;
  held: ObtainedValue | undefined;
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
  start: {
    number: number;
    refreshMs: number;
    held: ObtainedValue | undefined;
    random: Random;
    clock: Clock;
  },
): Entry {
  const { number, refreshMs, held, random, clock } = start;
  const nowMs = clock.monotonicMs();
  return {
    number,
    key: dependencyKey(dependency),
    dependency,
    refreshMs,
    held,
    error: undefined,
    atMs: held?.plan.atMs ?? nowMs,
    confirmedAtMs: nowMs,
    isUnderWay: false,
    backoff: backoffOf({ held, refreshMs }, { random, clock }),
  };
}

/** How long failures make wait by what they put at risk: a start, something with an end, or its freshness alone. */
export function backoffOf(
  { held, refreshMs }: Pick<Entry, 'held' | 'refreshMs'>,
  { random, clock }: { readonly random: Random; readonly clock: Clock },
): Backoff {
  return createBackoff({ ...waitsOf(held, refreshMs, clock), random });
}

function waitsOf(held: ObtainedValue | undefined, refreshMs: number, clock: Clock): Waits {
  if (held === undefined) return START_WAITS;
  const { expiresAtMs, rotatesAtMs } = held.plan;
  // Once it is rotated, the old password opens nothing.
  if (rotatesAtMs !== undefined)
    return waitsOfLife(refreshMs, () => rotatesAtMs - clock.monotonicMs());
  if (expiresAtMs === Infinity) return waitsOfRefresh(refreshMs);
  const leftMs = (): number => expiresAtMs - clock.monotonicMs();
  const fullMs = held.lease?.fullMs ?? leftMs();
  // By a clock that is ahead it had ended when it came: then it is read at the pace of its refresh, too.
  return fullMs < 0 ? waitsOfRefresh(refreshMs) : waitsOfLife(fullMs, leftMs);
}
