/**
 * What the agent knows of its Vault tokens: one value that {@link ./session-transitions.ts} replaces at each event.
 *
 * A session is the current one (new secrets are read with it), then retired (a newer login has replaced it, but its
 * leases may still be in use) until it is revoked; or it ends at once, when Vault rejects its token as invalid.
 */
import type { VaultToken } from '../contracts/index.ts';
import type { LogFields, LogLevel, Random, Secret, VouchsafeError } from '../core/index.ts';
import type { RenewalPlan } from './schedule.ts';

/** One Vault token. Times are of the monotonic clock. */
export interface Session {
  /** The number of its login in this pod, from 1; below 0: a predecessor's, only to be revoked. */
  readonly id: number;
  readonly token: Secret<string>;
  readonly startedAtMs: number;
  /** The TTL that the login granted; 0: it never expires. */
  readonly fullTtlMs: number;
  /** A batch token cannot be revoked: its leases are revoked one by one. */
  readonly isBatch: boolean;
  /** Ids of a predecessor's leases that do not end with this token. Default: none. */
  readonly orphans?: readonly string[];
  readonly renewable: boolean;
  readonly plan: RenewalPlan;
}

/** A session of a predecessor; it gets its number here. */
export type ResumedSession = Omit<Session, 'id'>;

/** What is known in every state. */
interface SessionHistory {
  /** The number of logins in this pod, including those of predecessors. */
  readonly logins: number;
  /** Why the last login failed, until one succeeds. */
  readonly lastError: VouchsafeError | undefined;
  /** The step of the backoff after failures; undefined: the next failure is the first. */
  readonly waitStep: number | undefined;
  /** Replaced sessions that are not revoked; some may have expired. */
  readonly retired: readonly Session[];
}

/**
 * A login in progress: it waits for its next try; or a try is under way, with the present identity or with one that has been
 * replaced since.
 */
type LoginPhase = 'waiting' | 'trying' | 'trying-outdated';

/** The states. Each arrow between them is in the table of `session-transitions.ts`. */
export type SessionState =
  /** Nothing has logged in yet, or the first login failed with an error that retrying cannot fix. */
  | { readonly name: 'none'; readonly history: SessionHistory }
  /** There is no token, and a login is in progress. `last` is the session that was lost, if there was one. */
  | {
      readonly name: 'logging-in';
      readonly login: LoginPhase;
      readonly last: Session | undefined;
      readonly history: SessionHistory;
    }
  /** The token is valid, and its next step is planned. */
  | { readonly name: 'current'; readonly session: Session; readonly history: SessionHistory }
  /** The token is valid and being renewed. */
  | { readonly name: 'renewing'; readonly session: Session; readonly history: SessionHistory }
  /**
   * The token is valid, but a login is due now: the identity behind it was replaced, a new lease needs a longer token, or the login
   * that was to replace it aborted.
   */
  | { readonly name: 'outdated'; readonly session: Session; readonly history: SessionHistory }
  /** The token is valid, and the login that replaces it is in progress. */
  | {
      readonly name: 'replacing';
      readonly login: LoginPhase;
      readonly session: Session;
      readonly history: SessionHistory;
    }
  /** There is no token any more: Vault rejected it as invalid, or it was revoked. A login has to follow. */
  | { readonly name: 'lost'; readonly last: Session; readonly history: SessionHistory };

/** The name of a state. */
export type SessionStateName = SessionState['name'];

/** Something that happened. `session` is the id of the session that it is about, which may be an old one. */
export type SessionEvent =
  /** A predecessor's session is taken over as the current one; it was the last of `logins` logins. */
  | { readonly type: 'resumed'; readonly session: ResumedSession; readonly logins: number }
  /** A predecessor's sessions are taken over, only to be revoked. */
  | { readonly type: 'adopted'; readonly sessions: readonly ResumedSession[] }
  /** A token is needed and there is none. */
  | { readonly type: 'loginRequired' }
  /** The time of the planned step has come. */
  | { readonly type: 'due' }
  /** A try begins; it takes the identity of this moment. */
  | { readonly type: 'loginTried' }
  | { readonly type: 'loginFailed'; readonly error: VouchsafeError }
  | { readonly type: 'loginAborted' }
  | { readonly type: 'loggedIn'; readonly token: VaultToken }
  | { readonly type: 'renewed'; readonly id: number; readonly grant: TokenGrant }
  | { readonly type: 'renewalFailed'; readonly id: number; readonly error: VouchsafeError }
  | { readonly type: 'renewalAborted'; readonly id: number }
  /** The agent leaves the token to a successor, with this time. Undefined: it may be any. */
  | { readonly type: 'shortened'; readonly id: number; readonly ttlMs: number | undefined }
  /** Vault rejected a token as invalid. */
  | { readonly type: 'invalidated'; readonly id: number }
  /** The identity that logs in is another one from now on. */
  | { readonly type: 'identityReplaced' }
  /** A new lease would end with the token. */
  | { readonly type: 'longerLifeRequired' }
  /** A retired session was revoked. */
  | { readonly type: 'forgotten'; readonly id: number }
  /** A session was revoked at the end, also if it is the current one. */
  | { readonly type: 'ended'; readonly id: number };

/** The kind of an event. */
export type SessionEventType = SessionEvent['type'];

/** A state by its name. */
export type StateOf<Name extends SessionStateName> = Extract<SessionState, { name: Name }>;

/** An event by its kind. */
export type EventOf<Type extends SessionEventType> = Extract<SessionEvent, { type: Type }>;

/** The states with a valid token. */
export type ValidState = StateOf<'current' | 'renewing' | 'outdated' | 'replacing'>;

/** What a renewal grants. */
export interface TokenGrant {
  readonly ttlMs: number;
  readonly renewable: boolean;
}

/** What is done at once after a transition, in this order. */
export type SessionEffect =
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields;
    }
  | {
      readonly type: 'count';
      readonly operation: 'login' | 'renewal';
      readonly result: string;
    }
  /** Announces the current session. */
  | { readonly type: 'publish' }
  /** From now on there is no current session. */
  | { readonly type: 'withdraw' }
  /** Saves the state for a successor before the new token is used. */
  | { readonly type: 'save' }
  /** Something changed that a successor has to know. */
  | { readonly type: 'changed' }
  /** The time of the next step may have changed. */
  | { readonly type: 'wake' };

/** What is to be requested of Vault next. */
export type SessionRequest =
  | { readonly type: 'log-in'; readonly afterMs: number }
  | { readonly type: 'renew'; readonly session: Session };

/** The result of a transition. */
export interface SessionTransition<State extends SessionState = SessionState> {
  readonly state: State;
  readonly effects: readonly SessionEffect[];
  readonly request?: SessionRequest;
}

/** The moment of an event, and chance. */
export interface SessionContext {
  /** Of the monotonic clock. */
  readonly nowMs: number;
  readonly wallMs: number;
  readonly random: Random;
}

/** Before the first event. */
export const NO_SESSION: SessionState = {
  name: 'none',
  history: { logins: 0, lastError: undefined, waitStep: undefined, retired: [] },
};

/** The session that new secrets are read with; undefined if there is no token. */
export function currentOf(state: SessionState): Session | undefined {
  return 'session' in state ? state.session : undefined;
}

/** The session of the last login, also if its token has become invalid since. */
export function newestOf(state: SessionState): Session | undefined {
  if (state.name === 'none') return undefined;
  return 'session' in state ? state.session : state.last;
}

/** When the event `due` is to follow, by the monotonic clock. Infinity: another event comes first. */
export function dueAtMs(state: SessionState, nowMs: number): number {
  // An invalid token invalidates its leases, so the login does not wait for a read.
  if (state.name === 'outdated' || state.name === 'lost') return nowMs;
  return state.name === 'current' ? state.session.plan.atMs : Infinity;
}

/**
 * What a caller that needs a token gets: a session; the error of the last login, while a login that replaces an earlier session
 * fails; or undefined if it has to wait for a login.
 */
export function sessionFor(
  state: SessionState,
  nowMs: number,
): Session | VouchsafeError | undefined {
  const session = currentOf(state);
  const { lastError, logins } = state.history;
  // A request with an expired token costs Vault two responses and brings nothing.
  const isOver = session === undefined || session.plan.expiresAtMs <= nowMs;
  return isOver && logins > 0 && lastError !== undefined ? lastError : session;
}

export function withHistory<S extends SessionState>(state: S, change: Partial<SessionHistory>): S {
  return { ...state, history: { ...state.history, ...change } };
}

export function log(
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields: Readonly<Record<string, unknown>>,
): SessionEffect {
  return { type: 'log', level, message, fields };
}
