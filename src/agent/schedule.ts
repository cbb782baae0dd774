/**
 * When a value must be renewed, read again or replaced: pure functions of what the server said.
 *
 * All times are of the monotonic clock, because the server gives durations: a wall clock that jumps an hour
 * changes nothing here.
 */
import type { Validity } from '../contracts/index.ts';
import type { Random } from '../core/index.ts';
import type { BackoffOptions } from '../async/index.ts';

/** What to do next with a value, and when. */
export interface RenewalPlan {
  /** `renew` extends the lease, `fetch` reads again (a new credential, where there is a lease). */
  readonly action: 'renew' | 'fetch';
  /** Monotonic milliseconds. Infinity: nothing to do. */
  readonly atMs: number;
  /** When the value stops being good, monotonic milliseconds. Infinity: never by itself. */
  readonly expiresAtMs: number;
  /** When Vault is to change the value by itself, monotonic milliseconds; absent where it does not. */
  readonly rotatesAtMs?: number;
}

/** The circumstances of a {@link planValue}. */
export interface PlanContext {
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly random: Random;
  /** How often a value without a lease is read again. */
  readonly refreshMs: number;
  /** What was planned at the last read, if there was one. */
  readonly previous?: RenewalPlan | undefined;
  /** True where this read has found nothing new. */
  readonly isUnchanged?: boolean;
}

/** The circumstances of a {@link spreadFirst}. */
export type SpreadContext = Pick<PlanContext, 'monotonicMs' | 'random'>;

/** Bounds of the waits after failures. */
export type Waits = Omit<BackoffOptions, 'random'>;

/** Nothing is planned earlier than this: whatever a server answers, it is not asked in a tight loop. */
export const MIN_INTERVAL_MS = 1000;

/** A grant of less than this share of the full one was cut by the max TTL: the end is near. */
const CAPPED_SHARE = 0.95;

/** Reading anew and writing take a moment, and a delivery waits for others under way: up to two seconds. */
const REPLACING_MS = 3000;

/** Vault looks every five seconds for passwords that are due; a second to change one. */
const ROTATION_DELAY_MS = 6000;

/** Vault rounds the time of a rotation to a second, and may be one early. */
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
 * Plans a lease that was granted or renewed for `grant.durationMs`, where `fullMs` is what it was first
 * granted for. Renewed at about two thirds until the server cuts the grant; then replaced in time.
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
 * The last moment to go on trying to renew a lease; from then on it is replaced, so that the new credential
 * is in place before the old one ends.
 */
export function lastRenewalMs(expiresAtMs: number, fullMs: number): number {
  return expiresAtMs - Math.max(fullMs * 0.15, Math.min(fullMs / 4, REPLACING_MS));
}

/**
 * Brings the first step of a value or token that is new to a uniformly random part of its time: what a fleet got
 * in one second, it never asks for in one second again. Later steps keep the spread; without this the first
 * refresh of all would fall into a tenth of the period, and so would every later one for hours.
 *
 * Only what is as good earlier is moved: a renewal, a read of what has no end. A credential is not made anew
 * before its time.
 */
export function spreadFirst(
  plan: RenewalPlan,
  { monotonicMs, random }: SpreadContext,
): RenewalPlan {
  const isFree = plan.action === 'renew' || plan.expiresAtMs === Infinity;
  // Vault rotates for all at once: there is one right time to look.
  if (!isFree || plan.atMs === Infinity || plan.rotatesAtMs !== undefined) return plan;
  const waitMs = (plan.atMs - monotonicMs) * random.next();
  return { ...plan, atMs: monotonicMs + Math.max(MIN_INTERVAL_MS, waitMs) };
}

/** Waits between the failures of what a pod needs for its start: Vault's return is noticed within the cap. */
export const START_WAITS = { minMs: 500, maxMs: 30_000 } as const;

/** The first wait is half a second to one: most failures are hiccups. Few tries later it is at the cap. */
export const LIFE_WAITS = { minMs: 250, factor: 4 } as const;

/**
 * Waits between failures of what has an end (a lease, a token, a certificate): a second try at once, for most
 * failures are hiccups; the later ones up to {@link longestWaitMs} of its whole life and of what is left of it.
 */
export function waitsOfLife(fullMs: number, leftMs: () => number): Waits {
  return { ...LIFE_WAITS, maxMs: () => longestWaitMs(fullMs, leftMs()) };
}

/**
 * The cap by what is at stake: half of what is left, so that several tries fit in, each more urgent than the last;
 * a fifth of the life when it is over. A thirtieth is the least, so that the tries of a fleet stay thin, and four
 * minutes the most, because what has ended is missed.
 */
export function longestWaitMs(fullMs: number, leftMs: number): number {
  const shareMs = leftMs > 0 ? Math.max(leftMs / 2, fullMs / 30) : Infinity;
  return clamp(Math.min(shareMs, fullMs / 5), MIN_INTERVAL_MS, 240_000);
}

/**
 * Waits between failures of what stays good by how often it is refreshed: no try is more urgent than a refresh,
 * and a fleet in trouble asks hardly more often than one in health. Five minutes at most.
 */
export function waitsOfRefresh(refreshMs: number): Waits {
  const maxMs = clamp(refreshMs || Infinity, MIN_INTERVAL_MS, 300_000);
  return { minMs: maxMs / 5, maxMs };
}

/** Plans a JWT-SVID that is kept in a file: half of its life, when a SPIRE agent makes a new one. */
export function planJwtSvid(
  svid: { readonly issuedAtMs: number | undefined; readonly expiresAtMs: number },
  context: PlanContext,
): RenewalPlan {
  const issued = svid.issuedAtMs ?? context.wallMs;
  const lifeMs = svid.expiresAtMs - issued;
  // A clock that is behind sees a token from the future; it must not count on more than its life.
  const ageMs = Math.max(0, context.wallMs - issued);
  const halfMs = lifeMs * between(0.5, 0.55, context.random) - ageMs;
  // Past the half the agent serves the old one while its server is away: ask again soon, but not in a loop.
  const leftMs = lifeMs - ageMs;
  return fetchAfter(Math.max(halfMs, leftMs * 0.1), leftMs, context);
}

/**
 * Plans a password that Vault changes: read from just before its time, once a second until it is new. Of a
 * schedule Vault announces the next rotation up to five seconds before it has done the last, so the TTL alone
 * would let the new password wait for a whole period.
 *
 * @see https://github.com/hashicorp/vault/issues/31918
 */
function planRotation(ttlMs: number, context: PlanContext): RenewalPlan {
  const { monotonicMs, previous, isUnchanged = false } = context;
  const refreshMs = spreadRefresh(context);
  const awaitedAtMs = previous?.rotatesAtMs ?? Infinity;
  const lateMs = monotonicMs - awaitedAtMs;
  // Ever slower while Vault cannot reach the database.
  const againMs = Math.max(MIN_INTERVAL_MS, lateMs / 8);
  const isAwaited = isUnchanged && lateMs >= -ROTATION_EARLY_MS;
  if (isAwaited && (ttlMs === 0 || againMs <= ttlMs)) {
    const plan = fetchAfter(Math.min(againMs, refreshMs), Infinity, context);
    return { ...plan, rotatesAtMs: awaitedAtMs };
  }
  // The first read may fall into those five seconds; a rotation by hand is seen by the refresh.
  const latestMs = previous === undefined ? Math.min(ROTATION_DELAY_MS, refreshMs) : refreshMs;
  const waitMs = Math.min(ttlMs - between(0.5, 1, context.random) * 1000, latestMs);
  return { ...fetchAfter(waitMs, Infinity, context), rotatesAtMs: monotonicMs + ttlMs };
}

/** Plans a value that tells its own end by the wall clock, such as a certificate. */
function planExpiry(
  validity: Extract<Validity, { kind: 'expires' }>,
  context: PlanContext,
): RenewalPlan {
  const { expiresAtMs, notBeforeMs = context.wallMs } = validity;
  // A clock that is behind sees a value that is not valid yet; it must not count on more than its life. What
  // has passed of it does not count: Vault dates certificates back by half a minute.
  const leftMs = expiresAtMs - Math.max(context.wallMs, notBeforeMs);
  // A clock that is ahead makes no loop of one that has ended.
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
