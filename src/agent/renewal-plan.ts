/**
 * A plan for a value, what it is made from, and what all plans are made with.
 */
import type { Random } from '../core/index.ts';

/** What to do next with a value, and when. */
export interface RenewalPlan {
  /** `renew` extends the lease, `fetch` reads again (a new credential, where there is a lease). */
  readonly action: 'renew' | 'fetch';
  /** Monotonic milliseconds. Infinity: never. */
  readonly atMs: number;
  /** When the value expires, monotonic milliseconds. Infinity: never. */
  readonly expiresAtMs: number;
  /** When Vault will rotate the value, monotonic milliseconds; absent if it does not. */
  readonly rotatesAtMs?: number;
  /** Present if Vault issued a lease without a duration: the wait before this step, in milliseconds. The next one is longer. */
  readonly unknownWaitMs?: number;
  /** Present once a login was requested, because a new lease would end with the token. */
  readonly awaitsLogin?: true;
}

/** The inputs of {@link planValue}. */
export interface PlanContext {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly random: Random;
  /** How often a value without a lease is read again. */
  readonly refreshMs: number;
  /** How the value is obtained: each request of some kinds makes a new one. Default: `read`. */
  readonly origin?: ValueOrigin;
  /** The plan of the last read, if there was one. */
  readonly previous?: RenewalPlan | undefined;
  /** True if this read returned the same value. */
  readonly isUnchanged?: boolean;
}

/**
 * What a request for a value does:
 * - `read`: it may be repeated at each refresh.
 * - `repeated`: a write, which is repeated at each refresh, because a file sets one.
 * - `made`: a write, which is not repeated before the end of its answer.
 */
export type ValueOrigin = 'read' | 'repeated' | 'made';

/** The least time between two steps, in milliseconds: no response of a server causes a tight loop. */
export const MIN_INTERVAL_MS = 1000;

/** About the refresh interval: at least nine tenths of it. */
export function spreadRefresh(context: PlanContext): number {
  return context.refreshMs * between(0.9, 1, context.random);
}

/** The plan to read after a wait, of a value that lives for `lifeMs` from now. */
export function fetchAfter(waitMs: number, lifeMs: number, context: PlanContext): RenewalPlan {
  return {
    action: 'fetch',
    atMs: context.monotonicMs + Math.max(MIN_INTERVAL_MS, waitMs),
    expiresAtMs: context.monotonicMs + lifeMs,
  };
}

/** A random number in a range. */
export function between(low: number, high: number, random: Random): number {
  return low + (high - low) * random.next();
}
