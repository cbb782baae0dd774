/**
 * A rate limit quota.
 * @see https://developer.hashicorp.com/vault/docs/concepts/resource-quotas
 */
import type { Clock } from '../../../core/index.ts';

/** Requests allowed per interval. */
export interface RateLimit {
  readonly requests: number;
  readonly intervalMs: number;
}

/** Counts requests in intervals that begin with their first request. */
export class RateLimiter {
  readonly #clock: Clock;
  #limit: RateLimit | undefined;
  #used = 0;
  #resetsAtMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined: no limit. */
  set(limit: RateLimit | undefined): void {
    this.#limit = limit;
    this.#resetsAtMs = -Infinity;
  }

  /** Seconds to wait if the request exceeds the limit, otherwise undefined. */
  excess(): number | undefined {
    if (this.#limit === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= this.#resetsAtMs) {
      this.#used = 0;
      this.#resetsAtMs = nowMs + this.#limit.intervalMs;
    }
    this.#used += 1;
    if (this.#used <= this.#limit.requests) return undefined;
    return Math.ceil((this.#resetsAtMs - nowMs) / 1000);
  }
}
