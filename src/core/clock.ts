/**
 * Time and randomness are arguments, so that tests control them. `src/platform` has the real ones.
 */

/** A source of time. */
export interface Clock {
  /** Wall time in milliseconds since the epoch. Use it for expiry; it can jump. */
  now(): number;
  /** Milliseconds of a clock that never jumps. Use it for elapsed time and deadlines. */
  monotonicMs(): number;
  /**
   * Resolves after `ms` milliseconds (at once when `ms` is not positive).
   * Rejects with `signal.reason` when the signal aborts first. Leaves no timer behind either way.
   */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** A source of randomness. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
}
