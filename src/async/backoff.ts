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

/** What {@link nextWait} needs to know of the failures so far. */
interface WaitOptions extends BackoffOptions {
  /** The step that the last wait returned. Undefined: there was no wait yet, or a success since. */
  readonly step: number | undefined;
  /** The least wait, such as a `Retry-After`, in milliseconds. Default 0. */
  readonly atLeastMs?: number | undefined;
}

/** One wait of a {@link Backoff}, for state that is not changed in place: the wait, and the step for the next one. */
export function nextWait(options: WaitOptions): { readonly waitMs: number; readonly step: number } {
  const { minMs, maxMs, factor = 2, random, atLeastMs = 0 } = options;
  // The first wait is spread as well, because a fleet may start it in the same second.
  const { step = minMs * factor } = options;
  const capped = Math.min(typeof maxMs === 'number' ? maxMs : maxMs(), step);
  const jitteredMs = Math.max(minMs, capped * (0.5 + random.next() / 2));
  const isLess = atLeastMs > jitteredMs;
  return {
    waitMs: isLess ? atLeastMs * (1 + random.next() / 4) : jitteredMs,
    step: capped * factor,
  };
}

/** @throws TypeError when the bounds are not finite, positive and in order. */
export function createBackoff(options: BackoffOptions): Backoff {
  const { minMs, maxMs, factor = 2 } = options;
  const cap = typeof maxMs === 'number' ? maxMs : maxMs();
  if (!(minMs > 0 && cap >= minMs && Number.isFinite(cap) && factor >= 1)) {
    throw new TypeError('backoff requires 0 < minMs <= maxMs and factor >= 1');
  }
  let step: number | undefined;
  return {
    nextMs(atLeastMs) {
      const next = nextWait({ ...options, step, atLeastMs });
      step = next.step;
      return next.waitMs;
    },
    reset() {
      step = undefined;
    },
  };
}
