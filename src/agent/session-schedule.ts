/**
 * When a Vault token is renewed or replaced, and how long to wait after a failure.
 */
import { nextWait } from '../async/index.ts';
import { LIFE_WAITS, longestWaitMs, planLease, START_WAITS, type RenewalPlan } from './schedule.ts';
import {
  newestOf,
  type Session,
  type SessionContext,
  type SessionState,
  type TokenGrant,
} from './session-state.ts';

/** If a token becomes invalid within this time, in milliseconds, the next login backs off. */
const YOUNG_SESSION_MS = 60_000;

export function planToken(grant: TokenGrant, fullMs: number, context: SessionContext): RenewalPlan {
  const { nowMs, wallMs, random } = context;
  // TTL 0 means without expiry only at the login; a renewal that grants 0 means the end.
  if (fullMs === 0) return { action: 'fetch', atMs: Infinity, expiresAtMs: Infinity };
  return planLease({ durationMs: grant.ttlMs, renewable: grant.renewable }, fullMs, {
    monotonicMs: nowMs,
    wallMs,
    random,
    refreshMs: 0,
  });
}

/** The wait after a failure: of a start while nothing has logged in yet, then by the life of the session that is to be replaced. */
export function drawWait(
  state: SessionState,
  atLeastMs: number | undefined,
  { nowMs, random }: SessionContext,
): { readonly waitMs: number; readonly step: number } {
  const newest = newestOf(state);
  const { waitStep: step } = state.history;
  if (newest === undefined) return nextWait({ ...START_WAITS, step, atLeastMs, random });
  const { fullTtlMs, plan } = newest;
  const maxMs = longestWaitMs(fullTtlMs || Infinity, plan.expiresAtMs - nowMs);
  return nextWait({ ...LIFE_WAITS, maxMs, step, atLeastMs, random });
}

export function isYoung(session: Session, { nowMs }: SessionContext): boolean {
  return nowMs - session.startedAtMs < YOUNG_SESSION_MS;
}
