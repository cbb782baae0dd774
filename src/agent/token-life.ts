/**
 * Whether a new lease would end with the token that it is issued under. Pure functions.
 */
import type { Session } from './session-state.ts';

/** The life of a token, in monotonic milliseconds. */
export interface TokenLife {
  /** {@link Session.id} */
  readonly session: number;
  readonly startedAtMs: number;
  /**
   * When a login replaces it: shortly before its end, and all of its leases with it. Infinity: never, or not as long as it can be
   * renewed.
   */
  readonly replacedAtMs: number;
}

/**
 * A login comes before a new lease if the present token leaves it less than this share of its time. It also bounds the logins: two
 * of them are at least a quarter of a token's life apart.
 */
const WORTHWHILE_SHARE = 0.75;

/** The life of a session's token. While it can be renewed, no end of it is known. */
export function tokenLife({ id, startedAtMs, plan }: Session): TokenLife {
  const replacedAtMs = plan.action === 'renew' ? Infinity : plan.atMs;
  return { session: id, startedAtMs, replacedAtMs };
}

/**
 * True if a new lease would soon be cut by the end of the token, or replaced because of it, and a new token would last longer: then
 * the login comes first, and one credential takes the place of two. `fullMs` is what the present lease was first granted.
 */
export function needsLogin(token: TokenLife, fullMs: number, nowMs: number): boolean {
  const { startedAtMs, replacedAtMs } = token;
  if (replacedAtMs === Infinity) return false;
  return replacedAtMs - nowMs < Math.min(fullMs, replacedAtMs - startedAtMs) * WORTHWHILE_SHARE;
}
