/**
 * How long to wait before the next try.
 */
import type { Random } from '../core/index.ts';

/** Bounds of a {@link Backoff}. */
export interface BackoffOptions {
  /** Floor of every wait, in milliseconds; the first wait is between it and `factor` times it. */
  readonly minMs: number;
  /**
   * Cap of every wait but a `Retry-After`, in milliseconds. A function is asked before each wait: what is at
   * stake may change between two failures. What it gives below the floor counts as the floor.
   */
  readonly maxMs: number | (() => number);
  /** Growth per try. Default 2. */
  readonly factor?: number;
  readonly random: Random;
}

/** Waits that grow with every failure. Reset it after the first good message, not after connecting. */
export interface Backoff {
  /**
   * The next wait. Between half of the current step and all of it, so that a fleet spreads itself, and
   * never below the floor. `atLeastMs` (a `Retry-After`) wins over the step; jitter of a quarter comes on top.
   */
  nextMs(atLeastMs?: number): number;
  reset(): void;
}

/** @throws TypeError when the bounds are not finite, positive and in order. */
export function createBackoff(options: BackoffOptions): Backoff {
  const { minMs, maxMs, factor = 2, random } = options;
  const cap = typeof maxMs === 'number' ? (): number => maxMs : maxMs;
  if (!(minMs > 0 && cap() >= minMs && Number.isFinite(cap()) && factor >= 1)) {
    throw new TypeError('backoff needs 0 < minMs <= maxMs and factor >= 1');
  }
  // The first wait is spread, too: it is the one that a fleet begins in the same second.
  const first = minMs * factor;
  let step = first;
  return {
    nextMs(atLeastMs = 0) {
      step = Math.min(cap(), step);
      const jittered = Math.max(minMs, step * (0.5 + random.next() / 2));
      step *= factor;
      return atLeastMs > jittered ? atLeastMs * (1 + random.next() / 4) : jittered;
    },
    reset() {
      step = first;
    },
  };
}
