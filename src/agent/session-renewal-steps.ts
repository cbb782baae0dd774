/**
 * The steps of renewals and of lost tokens, for the table in `session-transitions.ts`: pure functions of the state, the event, the
 * time and chance.
 */
import { hasCode, type VouchsafeError } from '../core/index.ts';
import { lastRenewalMs, type RenewalPlan } from './schedule.ts';
import { replace } from './session-login-steps.ts';
import { drawWait, isYoung, planToken } from './session-schedule.ts';
import {
  log,
  withHistory,
  type EventOf,
  type Session,
  type SessionContext,
  type SessionEffect,
  type SessionTransition,
  type StateOf,
  type TokenGrant,
  type ValidState,
} from './session-state.ts';

export function takeStep(
  state: StateOf<'current'>,
  _event: EventOf<'due'>,
  { nowMs }: SessionContext,
): SessionTransition<StateOf<'current' | 'renewing' | 'replacing'>> {
  const { session, history } = state;
  if (session.plan.atMs > nowMs) return { state, effects: [] };
  if (session.plan.action === 'fetch') return replace(state);
  return {
    state: { name: 'renewing', session, history },
    effects: [],
    request: { type: 'renew', session },
  };
}

export function settle({ session, history }: StateOf<'renewing'>): StateOf<'current'> {
  return { name: 'current', session, history };
}

export function lose({ session, history }: ValidState): StateOf<'lost'> {
  return { name: 'lost', last: session, history };
}

/** The login in progress goes on. */
export function loseReplaced({
  session,
  login,
  history,
}: StateOf<'replacing'>): StateOf<'logging-in'> {
  return { name: 'logging-in', login, last: session, history };
}

export function end<L extends StateOf<'lost' | 'logging-in'>>(lost: L): SessionTransition<L> {
  return { state: lost, effects: [{ type: 'withdraw' }] };
}

export function invalidate<L extends StateOf<'lost' | 'logging-in'>>(
  { session }: ValidState,
  lost: L,
  context: SessionContext,
): SessionTransition<L> {
  return {
    state: isYoung(session, context) ? lost : withHistory(lost, { waitStep: undefined }),
    effects: [
      log('warn', 'vault token is no longer valid', { session: session.id }),
      { type: 'withdraw' },
      { type: 'changed' },
      { type: 'wake' },
    ],
  };
}

export function renew<S extends StateOf<'current' | 'outdated' | 'replacing'>>(
  state: S,
  { grant }: EventOf<'renewed'>,
  context: SessionContext,
): SessionTransition<S> {
  const session = granted(state.session, grant, context);
  return {
    state: withHistory({ ...state, session }, { waitStep: undefined }),
    effects: renewedEffects(session.id, grant),
  };
}

/** The renewal is due at once: for the successor. */
export function shorten(
  { session, history }: StateOf<'current'>,
  { ttlMs }: EventOf<'shortened'>,
  { nowMs }: SessionContext,
): SessionTransition<StateOf<'current'>> {
  const { plan } = session;
  const expiresAtMs = ttlMs === undefined ? plan.expiresAtMs : nowMs + ttlMs;
  const next: RenewalPlan = { ...plan, atMs: nowMs, expiresAtMs };
  return {
    state: { name: 'current', session: { ...session, plan: next }, history },
    effects: [],
  };
}

export function renewedEffects(session: number, { ttlMs }: TokenGrant): readonly SessionEffect[] {
  return [
    { type: 'count', operation: 'renewal', result: 'ok' },
    log('debug', 'vault token renewed', { session, ttl_ms: ttlMs }),
    { type: 'changed' },
    { type: 'wake' },
  ];
}

/** Retried while there is time; then a login replaces the token before it ends. */
export function failRenewal<
  S extends StateOf<'current' | 'outdated' | 'replacing'>,
  L extends StateOf<'lost' | 'logging-in'>,
>(
  { next, lost }: { readonly next: S; readonly lost: L },
  { error }: EventOf<'renewalFailed'>,
  context: SessionContext,
): SessionTransition<S | L> {
  const counted = { type: 'count', operation: 'renewal', result: error.code } as const;
  if (hasCode(error, 'ERR_VAULT_TOKEN_INVALID')) {
    const { state, effects } = invalidate(next, lost, context);
    return { state, effects: [counted, ...effects] };
  }
  const { waitMs, step } = drawWait(next, error.retryAfterMs, context);
  const session = { ...next.session, plan: planRetry(next.session, { error, waitMs }, context) };
  return {
    state: withHistory({ ...next, session }, { waitStep: step }),
    effects: [
      counted,
      log('warn', 'vault token was not renewed', { session: session.id, error }),
      { type: 'wake' },
    ],
  };
}

function planRetry(
  { plan, fullTtlMs }: Session,
  { error, waitMs }: { readonly error: VouchsafeError; readonly waitMs: number },
  { nowMs }: SessionContext,
): RenewalPlan {
  const atMs = nowMs + waitMs;
  const lastMs = lastRenewalMs(plan.expiresAtMs, fullTtlMs);
  // A renewal that asks people is not retried.
  if (atMs < lastMs && error.retry !== 'slow') return { ...plan, action: 'renew', atMs };
  return { ...plan, action: 'fetch', atMs: Math.max(nowMs + (error.retryAfterMs ?? 0), lastMs) };
}

export function granted(session: Session, grant: TokenGrant, context: SessionContext): Session {
  const plan = planToken(grant, session.fullTtlMs, context);
  return { ...session, renewable: grant.renewable, plan };
}
