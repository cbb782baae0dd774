/**
 * The one retry loop.
 */
import { toVouchsafeError, type Clock, type VouchsafeError } from '../core/index.ts';
import type { Backoff } from './backoff.ts';

export interface RetryOptions {
  readonly backoff: Backoff;
  readonly clock: Clock;
  /** Ends the loop, which then throws its reason. */
  readonly signal: AbortSignal;
  /** Called before each wait. */
  readonly onFailure?: (error: VouchsafeError, waitMs: number) => void;
  /** Whether to try again. Default: for every error except of the retry class `never`. */
  readonly shouldRetry?: (error: VouchsafeError) => boolean;
}

/**
 * Runs `operation` until it succeeds. An error that is not to be retried is thrown unchanged; a `Retry-After` in the
 * error is the least wait.
 */
export async function retry<T>(
  operation: (signal: AbortSignal) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { backoff, clock, signal, onFailure } = options;
  const shouldRetry = options.shouldRetry ?? ((error) => error.retry !== 'never');
  for (;;) {
    signal.throwIfAborted();
    try {
      return await operation(signal);
    } catch (caught) {
      signal.throwIfAborted();
      const error = toVouchsafeError(caught);
      if (!shouldRetry(error)) throw error;
      const waitMs = backoff.nextMs(error.retryAfterMs);
      onFailure?.(error, waitMs);
      await clock.sleep(waitMs, signal);
    }
  }
}
