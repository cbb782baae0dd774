/**
 * The state machine of one value: a pure function of the state, the event, the time and chance. When a value is renewed, read again
 * or replaced is decided here, from the plan that `schedule.ts` made of the response. {@link ENTRY_TABLE} is also the source of the diagram
 * in docs/internals/agent.md.
 */
import { isDeepStrictEqual } from 'node:util';
import { hasCode } from '../core/index.ts';
import {
  failureEffects,
  operationOf,
  presenceNews,
  supersede,
  type Busy,
} from './entry-effects.ts';
import {
  heldOf,
  isAbsent,
  type EntryContext,
  type EntryEvent,
  type EntryEventOf,
  type EntryEventType,
  type EntryState,
  type EntryStateName,
  type EntryStateOf,
  type EntryTransition,
  type ValueState,
} from './entry-state.ts';
import { takeFirstStep, takeStep } from './entry-steps.ts';
import { lifeWarnings } from './life-warnings.ts';
import type { ObtainedValue } from './obtain.ts';
import { lastRenewalMs, spreadFirst } from './schedule.ts';

/** What an event does in a state. */
interface Rule<State, Event> {
  /** The states that may follow. */
  readonly to: readonly EntryStateName[];
  readonly run: (state: State, event: Event, context: EntryContext) => EntryTransition;
}

type Table = {
  readonly [Name in EntryStateName]: {
    readonly [Type in EntryEventType]?: Rule<EntryStateOf<Name>, EntryEventOf<Type>>;
  };
};

/** A rule; the compiler checks that it leads to no other states than `to`. */
function rule<Name extends EntryStateName, State, Event>(
  to: readonly Name[],
  run: (state: State, event: Event, context: EntryContext) => EntryTransition<EntryStateOf<Name>>,
): Rule<State, Event> {
  return { to, run };
}

/** State -> event -> what follows. An event that is not listed changes nothing. */
export const ENTRY_TABLE: Table = {
  pending: {
    due: rule(['pending', 'fetching'], takeFirstStep),
    streamed: rule(['held'], (state, { value }, context) => hold(state, value, context)),
    dropped: rule(['dropped'], drop),
  },
  fetching: {
    obtained: rule(['held'], obtain),
    rejected: rule(['pending'], (state, event, context) =>
      reject(state, event, fail(state, event, context)),
    ),
    failed: rule(['pending'], fail),
    aborted: rule(['pending'], ({ times }) => ({ state: { name: 'pending', times }, effects: [] })),
    streamed: rule(['refreshing'], holdMeanwhile),
  },
  held: {
    due: rule(['held', 'refreshing', 'renewing'], takeStep),
    streamed: rule(['held'], (state, { value }, context) => hold(state, value, context)),
    repeated: rule(['held'], planRepetition),
    sessionReplaced: rule(['held'], moveLease),
    required: rule(['held', 'pending'], require),
    dropped: rule(['dropped'], drop),
  },
  refreshing: {
    obtained: rule(['held'], obtain),
    rejected: rule(['held'], (state, event, context) =>
      reject(state, event, failHeld(state, event, context)),
    ),
    failed: rule(['held'], failHeld),
    aborted: rule(['held'], keep),
    streamed: rule(['refreshing'], holdMeanwhile),
    sessionReplaced: rule(['refreshing'], moveLease),
  },
  renewing: {
    obtained: rule(['held'], obtain),
    rejected: rule(['held'], (state, event, context) =>
      reject(state, event, failHeld(state, event, context)),
    ),
    failed: rule(['held'], failHeld),
    aborted: rule(['held'], keep),
    sessionReplaced: rule(['renewing'], moveLease),
  },
  dropped: {},
};

/** The state after an event, and what is to be done. */
export function transitionEntry(
  state: EntryState,
  event: EntryEvent,
  context: EntryContext,
): EntryTransition {
  // The rule that is found by name and type takes this state and this event.
  const found: Rule<never, never> | undefined = ENTRY_TABLE[state.name][event.type];
  return found?.run(state as never, event as never, context) ?? { state, effects: [] };
}

type BusyWithValue = EntryStateOf<'refreshing' | 'renewing'>;

function obtain(
  state: Busy,
  { value }: EntryEventOf<'obtained'>,
  context: EntryContext,
): EntryTransition<EntryStateOf<'held'>> {
  const { error } = state.times;
  const recovered = { type: 'log', level: 'info', message: 'secret is refreshed again' } as const;
  const held = hold(state, value, context);
  const result = isAbsent(value) ? 'absent' : 'ok';
  return {
    state: { ...held.state, times: { ...held.state.times, error: undefined } },
    effects: [
      { type: 'count', operation: operationOf(state), result },
      ...(error === undefined ? [] : [recovered]),
      ...presenceNews(heldOf(state), value),
      ...held.effects,
    ],
  };
}

/** Takes a value over; a lease that it replaces is superseded until the files without it are delivered. */
function hold(
  state: EntryState,
  value: ObtainedValue,
  context: EntryContext,
): EntryTransition<EntryStateOf<'held'>> {
  const { nowMs, random } = context;
  const previous = heldOf(state);
  const isNew = previous === undefined || previous.lease?.id !== value.lease?.id;
  const plan = isNew ? spreadFirst(value.plan, { monotonicMs: nowMs, random }) : value.plan;
  const times = { ...state.times, atMs: plan.atMs, confirmedAtMs: nowMs };
  const replaced = isNew ? previous?.lease : undefined;
  const isChanged = replaced !== undefined || !isDeepStrictEqual(previous?.value, value.value);
  const next = { name: 'held', held: { ...value, plan }, times } as const;
  return {
    // A newer login may have succeeded meanwhile.
    state: moved(next, context),
    effects: [
      { type: 'reset-waits' },
      ...lifeWarnings(previous, value, nowMs),
      ...supersede(replaced),
      ...(value.lease === undefined ? [] : [{ type: 'save' } as const]),
      ...(isChanged ? [{ type: 'render' } as const] : []),
    ],
  };
}

/** A stream delivers while a read is in progress. */
function holdMeanwhile(
  state: EntryStateOf<'fetching' | 'refreshing'>,
  { value }: EntryEventOf<'streamed'>,
  context: EntryContext,
): EntryTransition<EntryStateOf<'refreshing'>> {
  const { state: next, effects } = hold(state, value, context);
  return { state: { ...next, name: 'refreshing' }, effects };
}

function fail(
  { name, times }: EntryStateOf<'fetching'>,
  event: EntryEventOf<'failed' | 'rejected'>,
  { nowMs }: EntryContext,
): EntryTransition<EntryStateOf<'pending'>> {
  return {
    state: { name: 'pending', times: { ...times, error: event.error, atMs: nowMs + event.waitMs } },
    effects: failureEffects({ name, times }, event.error),
  };
}

/**
 * A renewal is retried while there is time; then a new credential is requested before the lease ends. A renewal that asks people is
 * not retried.
 */
function failHeld(
  state: BusyWithValue,
  { error, waitMs }: EntryEventOf<'failed' | 'rejected'>,
  { nowMs }: EntryContext,
): EntryTransition<EntryStateOf<'held'>> {
  const { held } = state;
  const effects = failureEffects(state, error);
  const times = { ...state.times, error, atMs: nowMs + waitMs };
  if (held.plan.action !== 'renew' || held.lease === undefined) {
    return { state: { name: 'held', held, times }, effects };
  }
  const lastMs = lastRenewalMs(held.plan.expiresAtMs, held.lease.fullMs);
  const isGone = hasCode(error, 'ERR_VAULT_LEASE_GONE');
  const mayRetry = !isGone && error.retry !== 'slow';
  if (mayRetry && times.atMs < lastMs) return { state: { name: 'held', held, times }, effects };
  const atMs = isGone ? nowMs : Math.max(nowMs + (error.retryAfterMs ?? 0), lastMs);
  const next = isGone ? ended(held, nowMs) : held;
  return { state: { name: 'held', held: toFetch(next), times: { ...times, atMs } }, effects };
}

/** There is no room for the value, so nothing will use its lease. */
function reject<S extends EntryState>(
  state: Busy,
  { value }: EntryEventOf<'rejected'>,
  failed: EntryTransition<S>,
): EntryTransition<S> {
  const isNew = value.lease?.id !== heldOf(state)?.lease?.id;
  const superseded = isNew ? supersede(value.lease) : [];
  return {
    state: failed.state,
    effects: [
      { type: 'count', operation: operationOf(state), result: 'ok' },
      ...superseded,
      // The next delivery revokes it.
      ...(superseded.length === 0 ? [] : [{ type: 'render' } as const]),
      ...failed.effects,
    ],
  };
}

/** A secret that does not exist is read again, now as one that must. */
function require(
  state: EntryStateOf<'held'>,
  _event: EntryEventOf<'required'>,
  { nowMs }: EntryContext,
): EntryTransition<EntryStateOf<'held' | 'pending'>> {
  if (!isAbsent(state.held)) return { state, effects: [] };
  return {
    state: { name: 'pending', times: { ...state.times, atMs: nowMs } },
    effects: [{ type: 'reset-waits' }],
  };
}

function keep({ held, times }: BusyWithValue): EntryTransition<EntryStateOf<'held'>> {
  return { state: { name: 'held', held, times }, effects: [] };
}

function drop({ times }: EntryState): EntryTransition<EntryStateOf<'dropped'>> {
  return { state: { name: 'dropped', times }, effects: [] };
}

/** A value with no next step gets one. */
function planRepetition(
  state: EntryStateOf<'held'>,
  { afterMs }: EntryEventOf<'repeated'>,
  { nowMs }: EntryContext,
): EntryTransition<EntryStateOf<'held'>> {
  if (state.times.atMs !== Infinity) return { state, effects: [] };
  return { state: { ...state, times: { ...state.times, atMs: nowMs + afterMs } }, effects: [] };
}

function moveLease<S extends ValueState>(
  state: S,
  _event: EntryEventOf<'sessionReplaced'>,
  context: EntryContext,
): EntryTransition<S> {
  return { state: moved(state, context), effects: [] };
}

/** A lease of an older session ends with that: a new credential is requested now. */
function moved<S extends ValueState>(state: S, { nowMs, session }: EntryContext): S {
  const { held, times } = state;
  if (held.lease === undefined || held.lease.session >= session) return state;
  return { ...state, held: toFetch(held), times: { ...times, atMs: nowMs } };
}

function ended(held: ObtainedValue, nowMs: number): ObtainedValue {
  const expiresAtMs = Math.min(held.plan.expiresAtMs, nowMs);
  return { ...held, plan: { ...held.plan, expiresAtMs } };
}

function toFetch(held: ObtainedValue): ObtainedValue {
  return { ...held, plan: { ...held.plan, action: 'fetch' } };
}
