/**
 * Exponential backoff with jitter.
 */
import type { Random } from '../core/index.ts';

/** Bounds of a {@link Backoff}. */
export interface BackoffOptions {
  /** Floor of every wait, in milliseconds; the first wait is between it and `factor` times it. */
  readonly minMs: number;
  /**
   * Cap of every wait except a `Retry-After`, in milliseconds. A function is called before each wait, for caps that
   * change between failures; a result below the floor is raised to it.
   */
  readonly maxMs: number | (() => number);
  /** Growth per try. Default 2. */
  readonly factor?: number;
  readonly random: Random;
}

/** Waits that grow with every failure. Reset it after the first valid message, not after connecting. */
export interface Backoff {
  /**
   * The next wait: a random part of the current step, at least half of it and the floor, which spreads the requests of
   * a fleet. `atLeastMs` (a `Retry-After`) takes precedence over a shorter step, plus up to a quarter of jitter.
   */
  nextMs(atLeastMs?: number): number;
  reset(): void;
}

/** @throws TypeError when the bounds are not finite, positive and in order. */
export function createBackoff(options: BackoffOptions): Backoff {
  const { minMs, maxMs, factor = 2, random } = options;
  const cap = typeof maxMs === 'number' ? (): number => maxMs : maxMs;
  if (!(minMs > 0 && cap() >= minMs && Number.isFinite(cap()) && factor >= 1)) {
    throw new TypeError('backoff requires 0 < minMs <= maxMs and factor >= 1');
  }
  // The first wait is spread as well, because a fleet may start it in the same second.
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
