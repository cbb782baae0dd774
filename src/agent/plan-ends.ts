/**
 * Plans for values whose end is not that of a lease: it is in the value itself, or Vault does not tell it. Pure functions.
 */
import type { Validity } from '../contracts/index.ts';
import {
  between,
  fetchAfter,
  MIN_INTERVAL_MS,
  spreadRefresh,
  type PlanContext,
  type RenewalPlan,
} from './renewal-plan.ts';

/** The longest wait for a lease without a duration, in milliseconds, unless the refresh interval is longer. */
const UNKNOWN_WAIT_MS = 3_600_000;

/** Two ends that differ by less are the same one, in milliseconds; the clocks may drift. */
const SAME_END_MS = 500;

/**
 * Plans a lease without a duration: it may last for a second or for ever. Each request for another one makes a credential, so the
 * waits grow, from the refresh interval to an hour.
 */
export function planUnknown(context: PlanContext): RenewalPlan {
  const { refreshMs, previous } = context;
  const lastMs = previous?.unknownWaitMs;
  const waitMs =
    lastMs === undefined
      ? spreadRefresh(context)
      : Math.min(lastMs * 2, Math.max(refreshMs, UNKNOWN_WAIT_MS));
  return {
    ...fetchAfter(waitMs, Infinity, context),
    unknownWaitMs: Math.max(MIN_INTERVAL_MS, waitMs),
  };
}

/** Plans a value that carries its own expiry by the wall clock, such as a certificate. */
export function planExpiry(
  validity: Extract<Validity, { kind: 'expires' }>,
  context: PlanContext,
): RenewalPlan {
  const { expiresAtMs, notBeforeMs = context.wallMs } = validity;
  // If the local clock is behind, the value is not valid yet; its life must not be overestimated. The time before now
  // is not part of it: Vault backdates certificates by half a minute.
  const leftMs = expiresAtMs - Math.max(context.wallMs, notBeforeMs);
  // A value that Vault holds may be replaced before its end, which is not known without asking.
  const isStored = validity.isStored === true && (context.origin ?? 'read') === 'read';
  if (leftMs > 0) {
    const waitMs = leftMs * between(0.65, 0.75, context.random);
    const latestMs = isStored ? spreadRefresh(context) : Infinity;
    return fetchAfter(Math.min(waitMs, latestMs), leftMs, context);
  }
  const waitMs = isStored ? overdueWaitMs(leftMs, context) : spreadRefresh(context);
  return fetchAfter(waitMs, leftMs, context);
}

/**
 * The wait for the successor of a value that Vault holds and that has ended: short at first, then growing. If the local clock is
 * ahead, each new value has ended, and must not be read in a loop.
 */
function overdueWaitMs(leftMs: number, context: PlanContext): number {
  const { monotonicMs, previous } = context;
  const lastMs = previous === undefined ? undefined : previous.expiresAtMs - monotonicMs;
  const isSame = lastMs === undefined || Math.abs(lastMs - leftMs) < SAME_END_MS;
  return isSame ? Math.min(-leftMs / 8, spreadRefresh(context)) : spreadRefresh(context);
}
