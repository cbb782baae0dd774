/**
 * When a value must be renewed, read again or replaced: pure functions of the server's response.
 *
 * All times are of the monotonic clock, because the server sends durations: a wall clock that jumps by an hour
 * changes nothing.
 */
import type { Validity } from '../contracts/index.ts';
import type { BackoffOptions } from '../async/index.ts';
import { planExpiry, planUnknown } from './plan-ends.ts';
import {
  between,
  fetchAfter,
  MIN_INTERVAL_MS,
  spreadRefresh,
  type PlanContext,
  type RenewalPlan,
} from './renewal-plan.ts';

export { MIN_INTERVAL_MS, type PlanContext, type RenewalPlan } from './renewal-plan.ts';

/** The inputs of {@link spreadFirst}. */
export type SpreadContext = Pick<PlanContext, 'monotonicMs' | 'random'>;

/** Bounds of the waits after failures. */
export type Waits = Omit<BackoffOptions, 'random'>;

/** A grant of less than this share of the full one was capped by the max TTL. */
const CAPPED_SHARE = 0.95;

/** Time to replace a value, in milliseconds: a read, up to two seconds until the delivery, and the write. */
const REPLACING_MS = 3000;

/** Vault checks every five seconds for passwords that are due; changing one takes a second. */
const ROTATION_DELAY_MS = 6000;

/** Vault rounds the time of a rotation to a second, so it may be up to one second early. */
const ROTATION_EARLY_MS = 1500;

/** Plans a value that has just been read. */
export function planValue(validity: Validity, context: PlanContext): RenewalPlan {
  switch (validity.kind) {
    case 'static':
      return fetchAfter(
        context.origin === 'made' ? Infinity : spreadRefresh(context),
        Infinity,
        context,
      );
    case 'lease':
      return planNewLease(validity, context);
    case 'rotation':
      return planRotation(validity.ttlMs, context);
    case 'expires':
      return planExpiry(validity, context);
  }
}

/** What a lease or a token was granted or renewed for. */
interface Grant {
  readonly durationMs: number;
  readonly renewable: boolean;
  /** Until the value itself ends, which no renewal moves. Default: never. */
  readonly endsInMs?: number | undefined;
}

/**
 * Plans a lease that was granted or renewed for `grant.durationMs`; `fullMs` is the duration of the first grant.
 * It is renewed at about two thirds until the server caps the grant, or the value itself ends before the lease; then it is
 * replaced in time.
 */
export function planLease(grant: Grant, fullMs: number, context: PlanContext): RenewalPlan {
  const { durationMs, endsInMs = Infinity } = grant;
  if (endsInMs <= durationMs) {
    const ending = { durationMs: endsInMs, renewable: false };
    return planLease(ending, Math.min(fullMs, Math.max(endsInMs, 0)), context);
  }
  if (grant.renewable && durationMs >= fullMs * CAPPED_SHARE) {
    const waitMs = durationMs * between(0.6, 0.7, context.random);
    return { ...fetchAfter(waitMs, durationMs, context), action: 'renew' };
  }
  const marginMs = Math.max(REPLACING_MS, fullMs * between(0.1, 0.2, context.random));
  return fetchAfter(durationMs - Math.min(durationMs / 2, marginMs), durationMs, context);
}

/** Plans a lease that has just been issued. */
function planNewLease(
  { durationMs, renewable, endsAtMs }: Extract<Validity, { kind: 'lease' }>,
  context: PlanContext,
): RenewalPlan {
  if (durationMs <= 0) return planUnknown(context);
  const endsInMs = endsAtMs === undefined ? undefined : endsAtMs - context.wallMs;
  return planLease({ durationMs, renewable, endsInMs }, durationMs, context);
}

/**
 * The last time to try to renew a lease; after that it is replaced, so that the new credential is in place before the
 * old one expires.
 */
export function lastRenewalMs(expiresAtMs: number, fullMs: number): number {
  return expiresAtMs - Math.max(fullMs * 0.15, Math.min(fullMs / 4, REPLACING_MS));
}

/**
 * Moves the first step of a new value or token to a uniformly random part of its wait: a fleet that read its values in
 * the same second does not read them in the same second again. Later steps keep the spread; without it all refreshes
 * of a fleet would fall into a tenth of the period for hours.
 *
 * Only steps that are as useful earlier are moved: a renewal, or a read of a value that does not expire. A credential is
 * not replaced early.
 */
export function spreadFirst(
  plan: RenewalPlan,
  { monotonicMs, random }: SpreadContext,
): RenewalPlan {
  const isFree = plan.action === 'renew' || plan.expiresAtMs === Infinity;
  // Vault rotates for all at once: the read has to follow the rotation.
  if (!isFree || plan.atMs === Infinity || plan.rotatesAtMs !== undefined) return plan;
  // A read would make a credential.
  if (plan.unknownWaitMs !== undefined) return plan;
  const waitMs = (plan.atMs - monotonicMs) * random.next();
  return { ...plan, atMs: monotonicMs + Math.max(MIN_INTERVAL_MS, waitMs) };
}

/** Waits between failures of a start: Vault's return is noticed within the cap. */
export const START_WAITS = { minMs: 500, maxMs: 30_000 } as const;

/** The first wait is half a second to a second, because most failures are brief. It reaches the cap in few tries. */
export const LIFE_WAITS = { minMs: 250, factor: 4 } as const;

/**
 * Waits between failures of a value that expires (a lease, a token, a certificate): the second try comes soon, because
 * most failures are brief; later waits are capped by {@link longestWaitMs} of its full and remaining life.
 */
export function waitsOfLife(fullMs: number, leftMs: () => number): Waits {
  return { ...LIFE_WAITS, maxMs: () => longestWaitMs(fullMs, leftMs()) };
}

/**
 * The cap of a wait: half of the remaining life, so that several tries fit in; a fifth of the full life after its end.
 * It is at least a twenty-sixth of the full life, which limits the requests of a fleet, and at most four minutes.
 */
export function longestWaitMs(fullMs: number, leftMs: number): number {
  const shareMs = leftMs > 0 ? Math.max(leftMs / 2, fullMs / 26) : Infinity;
  return clamp(Math.min(shareMs, fullMs / 5), MIN_INTERVAL_MS, 240_000);
}

/**
 * Waits between failures of a value that does not expire: no try is more urgent than a refresh, and a fleet with
 * failures sends hardly more requests than without. At most five minutes.
 */
export function waitsOfRefresh(refreshMs: number): Waits {
  const maxMs = clamp(refreshMs || Infinity, MIN_INTERVAL_MS, 300_000);
  return { minMs: maxMs / 5, maxMs };
}

/** Waits between requests that each ask people for an approval, or that only a changed policy lets succeed. */
export const SLOW_WAITS = { minMs: 60_000, maxMs: 30 * 60_000 } as const;

/** Plans a JWT-SVID that is in a file: it is read at half of its life, when a SPIRE agent mints a new one. */
export function planJwtSvid(
  svid: { readonly issuedAtMs: number | undefined; readonly expiresAtMs: number },
  context: PlanContext,
): RenewalPlan {
  const issued = svid.issuedAtMs ?? context.wallMs;
  const lifeMs = svid.expiresAtMs - issued;
  // If the local clock is behind, the token seems to be from the future; its life must not be overestimated.
  const ageMs = Math.max(0, context.wallMs - issued);
  const halfMs = lifeMs * between(0.5, 0.55, context.random) - ageMs;
  // Past the half the agent returns the old one while its server is unreachable: try again soon, but not in a loop.
  const leftMs = lifeMs - ageMs;
  return fetchAfter(Math.max(halfMs, leftMs * 0.1), leftMs, context);
}

/** Where a password that Vault rotates is between two rotations. */
type RotationPhase =
  /** The password is valid until the next rotation. */
  | { readonly name: 'beforeRotation' }
  /** The rotation is due, and the password is still the old one. */
  | {
      readonly name: 'awaitingRotation';
      /** When the rotation was due, monotonic milliseconds. */
      readonly dueAtMs: number;
      /** The wait until the next look; it grows while Vault cannot reach the database. */
      readonly againMs: number;
    };

/**
 * The phase of a password that was just read, with `ttlMs` until the rotation that Vault announces. With a schedule, Vault
 * announces the next rotation up to five seconds before it has finished the last one, so the TTL does not tell: the password has to
 * change.
 *
 * @see https://github.com/hashicorp/vault/issues/31918
 */
export function rotationPhase(
  ttlMs: number,
  context: Pick<PlanContext, 'monotonicMs' | 'previous' | 'isUnchanged'>,
): RotationPhase {
  const { monotonicMs, previous, isUnchanged = false } = context;
  const dueAtMs = previous?.rotatesAtMs ?? Infinity;
  const lateMs = monotonicMs - dueAtMs;
  if (!isUnchanged || lateMs < -ROTATION_EARLY_MS) return { name: 'beforeRotation' };
  const againMs = Math.max(MIN_INTERVAL_MS, lateMs / 8);
  // The next rotation comes before the next look would.
  if (ttlMs > 0 && ttlMs < againMs) return { name: 'beforeRotation' };
  return { name: 'awaitingRotation', dueAtMs, againMs };
}

/** Plans a password that Vault rotates: it is read from just before the rotation, once a second until it has changed. */
function planRotation(ttlMs: number, context: PlanContext): RenewalPlan {
  const { monotonicMs, previous } = context;
  const refreshMs = spreadRefresh(context);
  const phase = rotationPhase(ttlMs, context);
  switch (phase.name) {
    case 'awaitingRotation': {
      const plan = fetchAfter(Math.min(phase.againMs, refreshMs), Infinity, context);
      return { ...plan, rotatesAtMs: phase.dueAtMs };
    }
    case 'beforeRotation': {
      // The first read may fall between the time of a rotation and its end; a manual rotation is noticed by the refresh.
      const isFirst = previous === undefined;
      const latestMs = isFirst ? Math.min(ROTATION_DELAY_MS, refreshMs) : refreshMs;
      const waitMs = Math.min(ttlMs - between(0.5, 1, context.random) * 1000, latestMs);
      return { ...fetchAfter(waitMs, Infinity, context), rotatesAtMs: monotonicMs + ttlMs };
    }
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}
