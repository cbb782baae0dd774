/**
 * One value that the files depend on, and its backoff after failures.
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
  /** Identifies it where its path must not be shown, from 1. */
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

/** A new entry, due now or as its held value plans. */
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

/** Backoff by what a failure puts at risk: a start, a value that expires, or only its freshness. */
export function backoffOf(
  { held, refreshMs }: Pick<Entry, 'held' | 'refreshMs'>,
  { random, clock }: { readonly random: Random; readonly clock: Clock },
): Backoff {
  return createBackoff({ ...waitsOf(held, refreshMs, clock), random });
}

function waitsOf(held: ObtainedValue | undefined, refreshMs: number, clock: Clock): Waits {
  if (held === undefined) return START_WAITS;
  const { expiresAtMs, rotatesAtMs } = held.plan;
  // After the rotation the old password is not valid any more.
  if (rotatesAtMs !== undefined)
    return waitsOfLife(refreshMs, () => rotatesAtMs - clock.monotonicMs());
  if (expiresAtMs === Infinity) return waitsOfRefresh(refreshMs);
  const leftMs = (): number => expiresAtMs - clock.monotonicMs();
  const fullMs = held.lease?.fullMs ?? leftMs();
  // If the local clock is ahead, it had expired on arrival: then it is read at its refresh interval, too.
  return fullMs < 0 ? waitsOfRefresh(refreshMs) : waitsOfLife(fullMs, leftMs);
}
