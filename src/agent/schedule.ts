/**
 * When a value must be renewed, read again or replaced: pure functions of the server's response.
 *
 * All times are of the monotonic clock, because the server sends durations: a wall clock that jumps by an hour
 * changes nothing.
 */
import type { Validity } from '../contracts/index.ts';
import type { Random } from '../core/index.ts';
import type { BackoffOptions } from '../async/index.ts';

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
}

/** The inputs of {@link planValue}. */
export interface PlanContext {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly random: Random;
  /** How often a value without a lease is read again. */
  readonly refreshMs: number;
  /** The plan of the last read, if there was one. */
  readonly previous?: RenewalPlan | undefined;
  /** True if this read returned the same value. */
  readonly isUnchanged?: boolean;
}

/** The inputs of {@link spreadFirst}. */
export type SpreadContext = Pick<PlanContext, 'monotonicMs' | 'random'>;

/** Bounds of the waits after failures. */
export type Waits = Omit<BackoffOptions, 'random'>;

/** The least time between two steps, in milliseconds: no response of a server causes a tight loop. */
export const MIN_INTERVAL_MS = 1000;

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
      return fetchAfter(spreadRefresh(context), Number.POSITIVE_INFINITY, context);
    case 'lease':
      return planLease(validity, validity.durationMs, context);
    case 'rotation':
      return planRotation(validity.ttlMs, context);
    case 'expires':
      return planExpiry(validity, context);
  }
}

/**
 * Plans a lease that was granted or renewed for `grant.durationMs`; `fullMs` is the duration of the first grant.
 * It is renewed at about two thirds until the server caps the grant; then it is replaced in time.
 */
export function planLease(
  grant: { readonly durationMs: number; readonly renewable: boolean },
  fullMs: number,
  context: PlanContext,
): RenewalPlan {
  const { durationMs } = grant;
  if (grant.renewable && durationMs >= fullMs * CAPPED_SHARE) {
    const waitMs = durationMs * between(0.6, 0.7, context.random);
    return { ...fetchAfter(waitMs, durationMs, context), action: 'renew' };
  }
  const marginMs = Math.max(REPLACING_MS, fullMs * between(0.1, 0.2, context.random));
  return fetchAfter(durationMs - Math.min(durationMs / 2, marginMs), durationMs, context);
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
 * It is at least a thirtieth of the full life, which limits the requests of a fleet, and at most four minutes.
 */
export function longestWaitMs(fullMs: number, leftMs: number): number {
  const shareMs = leftMs > 0 ? Math.max(leftMs / 2, fullMs / 30) : Infinity;
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

/** Plans a value that carries its own expiry by the wall clock, such as a certificate. */
function planExpiry(
  validity: Extract<Validity, { kind: 'expires' }>,
  context: PlanContext,
): RenewalPlan {
  const { expiresAtMs, notBeforeMs = context.wallMs } = validity;
  // If the local clock is behind, the value is not valid yet; its life must not be overestimated. The time before now
  // is not part of it: Vault backdates certificates by half a minute.
  const leftMs = expiresAtMs - Math.max(context.wallMs, notBeforeMs);
  // If the local clock is ahead, an expired value must not be read in a loop.
  const waitMs = leftMs > 0 ? leftMs * between(0.65, 0.75, context.random) : spreadRefresh(context);
  return fetchAfter(waitMs, leftMs, context);
}

function spreadRefresh(context: PlanContext): number {
  return context.refreshMs * between(0.9, 1, context.random);
}

function fetchAfter(waitMs: number, lifeMs: number, context: PlanContext): RenewalPlan {
  return {
    action: 'fetch',
    atMs: context.monotonicMs + Math.max(MIN_INTERVAL_MS, waitMs),
    expiresAtMs: context.monotonicMs + lifeMs,
  };
}

function between(low: number, high: number, random: Random): number {
  return low + (high - low) * random.next();
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}
