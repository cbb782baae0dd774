/**
 * What an entry does when its time has come, for the table in `entry-transitions.ts`: pure functions.
 */
import type { EntryContext, EntryEventOf, EntryStateOf, EntryTransition } from './entry-state.ts';
import type { ObtainedValue } from './obtain.ts';
import { MIN_INTERVAL_MS } from './schedule.ts';
import { needsLogin } from './token-life.ts';

export function takeFirstStep(
  state: EntryStateOf<'pending'>,
  _event: EntryEventOf<'due'>,
  { nowMs }: EntryContext,
): EntryTransition<EntryStateOf<'pending' | 'fetching'>> {
  if (state.times.atMs > nowMs) return { state, effects: [] };
  return {
    state: { name: 'fetching', times: state.times },
    effects: [],
    request: { type: 'fetch' },
  };
}

export function takeStep(
  state: EntryStateOf<'held'>,
  _event: EntryEventOf<'due'>,
  context: EntryContext,
): EntryTransition<EntryStateOf<'held' | 'refreshing' | 'renewing'>> {
  const { held, times } = state;
  if (times.atMs > context.nowMs) return { state, effects: [] };
  if (isCutByToken(held, context)) return awaitLogin(state, context);
  if (held.plan.action === 'fetch' || held.lease === undefined) {
    return { state: { name: 'refreshing', held, times }, effects: [], request: { type: 'fetch' } };
  }
  return {
    state: { name: 'renewing', held, times },
    effects: [],
    request: { type: 'renew', held: { ...held, lease: held.lease } },
  };
}

/** True if a new lease would end with the token, and a login that would help was not requested yet. */
function isCutByToken({ plan, lease }: ObtainedValue, { nowMs, token }: EntryContext): boolean {
  if (plan.action !== 'fetch' || lease === undefined || plan.awaitsLogin === true) return false;
  // A lease of an older session is replaced because of the login that has been.
  return token?.session === lease.session && needsLogin(token, lease.fullMs, nowMs);
}

/**
 * The login comes first: all leases of the token then move to the next one, each with one read. If it takes longer than half of
 * what the lease has left, a new lease is read with the present token.
 */
function awaitLogin(
  { held, times }: EntryStateOf<'held'>,
  { nowMs }: EntryContext,
): EntryTransition<EntryStateOf<'held'>> {
  const plan = { ...held.plan, awaitsLogin: true } as const;
  const waitMs = Math.max(MIN_INTERVAL_MS, (plan.expiresAtMs - nowMs) / 2);
  // A lease without a known end may have ended.
  const atMs = nowMs + (waitMs === Infinity ? MIN_INTERVAL_MS : waitMs);
  return {
    state: { name: 'held', held: { ...held, plan }, times: { ...times, atMs } },
    effects: [{ type: 'log-in' }],
  };
}
