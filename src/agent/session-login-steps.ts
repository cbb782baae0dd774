/**
 * The steps of logins, for the table in `session-transitions.ts`: pure functions of the state, the event, the time and chance.
 */
import { spreadFirst } from './schedule.ts';
import { drawWait, isYoung, planToken } from './session-schedule.ts';
import {
  currentOf,
  log,
  withHistory,
  type EventOf,
  type Session,
  type SessionContext,
  type SessionEffect,
  type SessionTransition,
  type StateOf,
  type ValidState,
} from './session-state.ts';

export function resume(
  { history }: StateOf<'none'>,
  { session, logins }: EventOf<'resumed'>,
): SessionTransition<StateOf<'current'>> {
  const state = {
    name: 'current',
    session: { ...session, id: logins },
    history: { ...history, logins },
  } as const;
  return { state, effects: [{ type: 'publish' }, { type: 'wake' }] };
}

export function startFirstLogin({
  history,
}: StateOf<'none'>): SessionTransition<StateOf<'logging-in'>> {
  return {
    state: { name: 'logging-in', login: 'waiting', last: undefined, history },
    effects: [],
    request: { type: 'log-in', afterMs: 0 },
  };
}

/** The token died early, or logins failed before: the wait of the backoff comes first. */
export function startLaterLogin(
  state: StateOf<'lost'>,
  _event: EventOf<'loginRequired' | 'due'>,
  context: SessionContext,
): SessionTransition<StateOf<'logging-in'>> {
  const { waitMs, step } = drawWait(state, undefined, context);
  const { last, history } = state;
  return {
    state: {
      name: 'logging-in',
      login: 'waiting',
      last,
      history: { ...history, waitStep: step },
    },
    effects: [],
    request: { type: 'log-in', afterMs: waitMs },
  };
}

export function tryLogin<S extends StateOf<'logging-in' | 'replacing'>>(
  state: S,
): SessionTransition<S> {
  return { state: { ...state, login: 'trying' }, effects: [] };
}

export function outdateTry<S extends StateOf<'logging-in' | 'replacing'>>(
  state: S,
): SessionTransition<S> {
  const login = state.login === 'waiting' ? 'waiting' : 'trying-outdated';
  return { state: { ...state, login }, effects: [] };
}

export function failLogin(
  state: StateOf<'logging-in'>,
  event: EventOf<'loginFailed'>,
  context: SessionContext,
): SessionTransition<StateOf<'logging-in' | 'none'>> {
  const isFirst = state.history.logins === 0;
  if (!isFirst || event.error.retry !== 'never') return backOff(state, event, context);
  return { state: { name: 'none', history: state.history }, effects: [] };
}

export function backOff<S extends StateOf<'logging-in' | 'replacing'>>(
  state: S,
  { error }: EventOf<'loginFailed'>,
  context: SessionContext,
): SessionTransition<S> {
  const { waitMs, step } = drawWait(state, error.retryAfterMs, context);
  const isNews = state.history.lastError?.code !== error.code;
  const fields = { error, retry_in_ms: Math.round(waitMs) };
  const waiting: S = { ...state, login: 'waiting' };
  return {
    state: withHistory(waiting, { lastError: error, waitStep: step }),
    effects: [
      { type: 'count', operation: 'login', result: error.code },
      ...(isNews ? [log(error.level, 'login to vault failed', fields)] : []),
    ],
    request: { type: 'log-in', afterMs: waitMs },
  };
}

export function abortLogin({
  last,
  history,
}: StateOf<'logging-in'>): SessionTransition<StateOf<'none' | 'lost'>> {
  if (last === undefined) return { state: { name: 'none', history }, effects: [] };
  return { state: { name: 'lost', last, history }, effects: [{ type: 'wake' }] };
}

/** Make before break: the old session stays in use until the new one is published. */
export function logIn(
  state: StateOf<'logging-in' | 'replacing'>,
  { token }: EventOf<'loggedIn'>,
  context: SessionContext,
): SessionTransition<StateOf<'current' | 'outdated'>> {
  const { history, login } = state;
  const old = currentOf(state);
  const logins = history.logins + 1;
  const plan = planToken(token, token.ttlMs, context);
  const session: Session = {
    id: logins,
    token: token.token,
    startedAtMs: context.nowMs,
    fullTtlMs: token.ttlMs,
    isBatch: token.type === 'batch',
    renewable: token.renewable,
    plan: spreadFirst(plan, { monotonicMs: context.nowMs, random: context.random }),
  };
  // The first login has a backoff of its own.
  const isRested = history.logins === 0 || (old !== undefined && !isYoung(old, context));
  const left = history.retired.filter((one) => one.plan.expiresAtMs > context.nowMs);
  return {
    state: {
      name: login === 'trying-outdated' ? 'outdated' : 'current',
      session,
      history: {
        logins,
        lastError: undefined,
        waitStep: isRested ? undefined : history.waitStep,
        retired: old === undefined ? history.retired : [...left, old],
      },
    },
    effects: [
      { type: 'count', operation: 'login', result: 'ok' },
      log('info', 'logged in to vault', { session: logins, ttl_ms: token.ttlMs }),
      ...usesWarning(logins, token.numUses),
      { type: 'publish' },
      { type: 'save' },
      { type: 'changed' },
      { type: 'wake' },
    ],
  };
}

function usesWarning(session: number, uses: number): readonly SessionEffect[] {
  if (uses <= 0) return [];
  const message = 'vault token has a limited number of uses; set token_num_uses of the role to 0';
  return [log('warn', message, { session, uses })];
}

export function replace({
  session,
  history,
}: StateOf<'current' | 'outdated'>): SessionTransition<StateOf<'replacing'>> {
  return {
    state: { name: 'replacing', login: 'waiting', session, history },
    effects: [],
    request: { type: 'log-in', afterMs: 0 },
  };
}

export function outdate({ session, history }: ValidState): SessionTransition<StateOf<'outdated'>> {
  return { state: { name: 'outdated', session, history }, effects: [{ type: 'wake' }] };
}
