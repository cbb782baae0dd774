/**
 * The state machine of the Vault tokens: a pure function of the state, the event, the time and chance.
 * {@link SESSION_TABLE} is also the source of the diagram in docs/internals/agent.md.
 */
import {
  abortLogin,
  backOff,
  failLogin,
  logIn,
  outdate,
  outdateTry,
  replace,
  resume,
  startFirstLogin,
  startLaterLogin,
  tryLogin,
} from './session-login-steps.ts';
import {
  end,
  failRenewal,
  granted,
  invalidate,
  lose,
  loseReplaced,
  renew,
  renewedEffects,
  settle,
  shorten,
  takeStep,
} from './session-renewal-steps.ts';
import {
  currentOf,
  withHistory,
  type EventOf,
  type Session,
  type SessionContext,
  type SessionEvent,
  type SessionEventType,
  type SessionState,
  type SessionStateName,
  type SessionTransition,
  type StateOf,
} from './session-state.ts';

/** What an event does in a state. */
interface Rule<State, Event> {
  /** The states that may follow. */
  readonly to: readonly SessionStateName[];
  readonly run: (state: State, event: Event, context: SessionContext) => SessionTransition;
}

type Table = {
  readonly [Name in SessionStateName]: {
    readonly [Type in SessionEventType]?: Rule<StateOf<Name>, EventOf<Type>>;
  };
};

/** A rule; the compiler checks that it leads to no other states than `to`. */
function rule<Name extends SessionStateName, State, Event>(
  to: readonly Name[],
  run: (state: State, event: Event, context: SessionContext) => SessionTransition<StateOf<Name>>,
): Rule<State, Event> {
  return { to, run };
}

/**
 * State -> event -> what follows. An event that is not listed changes nothing. Events about a session that is not the current one
 * are not in it: they change the retired sessions, never the state.
 */
export const SESSION_TABLE: Table = {
  none: {
    resumed: rule(['current'], resume),
    loginRequired: rule(['logging-in'], startFirstLogin),
  },
  'logging-in': {
    loginTried: rule(['logging-in'], tryLogin),
    identityReplaced: rule(['logging-in'], outdateTry),
    loginFailed: rule(['logging-in', 'none'], failLogin),
    loginAborted: rule(['none', 'lost'], abortLogin),
    loggedIn: rule(['current', 'outdated'], logIn),
  },
  current: {
    due: rule(['current', 'renewing', 'replacing'], takeStep),
    identityReplaced: rule(['outdated'], outdate),
    longerLifeRequired: rule(['outdated'], outdate),
    shortened: rule(['current'], shorten),
    invalidated: rule(['lost'], (state, _, context) => invalidate(state, lose(state), context)),
    ended: rule(['lost'], (state) => end(lose(state))),
  },
  renewing: {
    renewed: rule(['current'], (state, event, context) => renew(settle(state), event, context)),
    renewalFailed: rule(['current', 'lost'], (state, event, context) =>
      failRenewal({ next: settle(state), lost: lose(state) }, event, context),
    ),
    renewalAborted: rule(['current'], (state) => ({ state: settle(state), effects: [] })),
    identityReplaced: rule(['outdated'], outdate),
    invalidated: rule(['lost'], (state, _, context) => invalidate(state, lose(state), context)),
    ended: rule(['lost'], (state) => end(lose(state))),
  },
  outdated: {
    due: rule(['replacing'], replace),
    renewed: rule(['outdated'], renew),
    renewalFailed: rule(['outdated', 'lost'], (state, event, context) =>
      failRenewal({ next: state, lost: lose(state) }, event, context),
    ),
    invalidated: rule(['lost'], (state, _, context) => invalidate(state, lose(state), context)),
    ended: rule(['lost'], (state) => end(lose(state))),
  },
  replacing: {
    loginTried: rule(['replacing'], tryLogin),
    identityReplaced: rule(['replacing'], outdateTry),
    loginFailed: rule(['replacing'], backOff),
    loginAborted: rule(['outdated'], outdate),
    loggedIn: rule(['current', 'outdated'], logIn),
    renewed: rule(['replacing'], renew),
    renewalFailed: rule(['replacing', 'logging-in'], (state, event, context) =>
      failRenewal({ next: state, lost: loseReplaced(state) }, event, context),
    ),
    invalidated: rule(['logging-in'], (state, _, context) =>
      invalidate(state, loseReplaced(state), context),
    ),
    ended: rule(['logging-in'], (state) => end(loseReplaced(state))),
  },
  lost: {
    loginRequired: rule(['logging-in'], startLaterLogin),
    due: rule(['logging-in'], startLaterLogin),
  },
};

/** The state after an event, and what is to be done. */
export function transitionSession(
  state: SessionState,
  event: SessionEvent,
  context: SessionContext,
): SessionTransition {
  if (event.type === 'adopted') return adopt(state, event);
  if ('id' in event && event.id !== currentOf(state)?.id) return settleOld(state, event, context);
  // The rule that is found by name and type takes this state and this event.
  const found: Rule<never, never> | undefined = SESSION_TABLE[state.name][event.type];
  return found?.run(state as never, event as never, context) ?? { state, effects: [] };
}

function adopt(state: SessionState, { sessions }: EventOf<'adopted'>): SessionTransition {
  const { retired } = state.history;
  const lowest = Math.min(0, ...retired.map(({ id }) => id));
  const adopted = sessions.map((session, index) => ({ ...session, id: lowest - 1 - index }));
  return {
    state: withHistory(state, { retired: [...retired, ...adopted] }),
    effects: [],
  };
}

/** An event about a session that is not the current one (any more). */
function settleOld(
  state: SessionState,
  event: Extract<SessionEvent, { readonly id: number }>,
  context: SessionContext,
): SessionTransition {
  switch (event.type) {
    case 'renewed':
      // Its token lives longer now.
      return {
        state: mapOld(state, event.id, (old) => granted(old, event.grant, context)),
        effects: renewedEffects(event.id, event.grant),
      };
    case 'renewalFailed': {
      const { code } = event.error;
      const { state: next, effects } =
        code === 'ERR_VAULT_TOKEN_INVALID' ? forget(state, event.id) : { state, effects: [] };
      return {
        state: next,
        effects: [{ type: 'count', operation: 'renewal', result: code }, ...effects],
      };
    }
    case 'renewalAborted':
    case 'shortened':
      return { state, effects: [] };
    case 'invalidated':
    case 'forgotten':
    case 'ended':
      return forget(state, event.id);
  }
}

function forget(state: SessionState, id: number): SessionTransition {
  const retired = state.history.retired.filter((one) => one.id !== id);
  if (retired.length === state.history.retired.length) return { state, effects: [] };
  return { state: withHistory(state, { retired }), effects: [{ type: 'changed' }] };
}

/** Changes a retired session, or the lost one, whose life bounds the waits of the backoff. */
function mapOld(state: SessionState, id: number, change: (old: Session) => Session): SessionState {
  const map = (one: Session): Session => (one.id === id ? change(one) : one);
  const next = withHistory(state, { retired: state.history.retired.map(map) });
  return 'last' in next && next.last !== undefined ? { ...next, last: map(next.last) } : next;
}
