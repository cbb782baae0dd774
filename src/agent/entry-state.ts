/**
 * What is known of one value that the files depend on: one value that {@link ./entry-transitions.ts} replaces at each event.
 */
import type { LogLevel, Random, VouchsafeError } from '../core/index.ts';
import type { LeaseRef, ObtainedValue } from './obtain.ts';
import type { TokenLife } from './token-life.ts';

/** A value with a lease. */
type LeasedValue = ObtainedValue & { readonly lease: LeaseRef };

/** Known in every state. Times are of the monotonic clock. */
interface EntryTimes {
  /** When the next step is due; while one is in progress, when that was due. */
  readonly atMs: number;
  /** The last read or renewal that succeeded; before the first one, when the entry was created. */
  readonly confirmedAtMs: number;
  /** The last failure, until the next success. */
  readonly error: VouchsafeError | undefined;
}

/** The states. Each arrow between them is in the table of `entry-transitions.ts`. */
export type EntryState =
  /** There is no value yet; the next try is planned. */
  | { readonly name: 'pending'; readonly times: EntryTimes }
  /** There is no value yet, and one is being read. */
  | { readonly name: 'fetching'; readonly times: EntryTimes }
  /** There is a value, perhaps after a failed refresh; its next step is planned. */
  | { readonly name: 'held'; readonly held: ObtainedValue; readonly times: EntryTimes }
  /** There is a value, and its successor is being read: a new credential, where there is a lease. */
  | { readonly name: 'refreshing'; readonly held: ObtainedValue; readonly times: EntryTimes }
  /** There is a value, and its lease is being renewed. */
  | { readonly name: 'renewing'; readonly held: ObtainedValue; readonly times: EntryTimes }
  /** No file depends on it any more. */
  | { readonly name: 'dropped'; readonly times: EntryTimes };

/** The name of a state. */
export type EntryStateName = EntryState['name'];

/** A state by its name. */
export type EntryStateOf<Name extends EntryStateName> = Extract<EntryState, { name: Name }>;

/** The states with a value. */
export type ValueState = EntryStateOf<'held' | 'refreshing' | 'renewing'>;

/** Something that happened to an entry. */
export type EntryEvent =
  /** The time of the next step has come. */
  | { readonly type: 'due' }
  /** The read or renewal in progress succeeded. */
  | { readonly type: 'obtained'; readonly value: ObtainedValue }
  /** It succeeded, but there is no room for its value. `waitMs` is the wait before the next try, drawn from the backoff. */
  | {
      readonly type: 'rejected';
      readonly value: ObtainedValue;
      readonly error: VouchsafeError;
      readonly waitMs: number;
    }
  /** It failed. `waitMs` as above. */
  | { readonly type: 'failed'; readonly error: VouchsafeError; readonly waitMs: number }
  | { readonly type: 'aborted' }
  /** A stream delivered a value. */
  | { readonly type: 'streamed'; readonly value: ObtainedValue }
  /** From now on a write is repeated at each refresh. */
  | { readonly type: 'repeated'; readonly afterMs: number }
  /** There is a newer session, {@link EntryContext.session}: leases of older ones are replaced. */
  | { readonly type: 'sessionReplaced' }
  /** A file cannot do without the value, although the secret was optional. */
  | { readonly type: 'required' }
  /** No file depends on the entry any more. It is kept while a step is in progress, because that may bring a lease. */
  | { readonly type: 'dropped' };

/** The kind of an event. */
export type EntryEventType = EntryEvent['type'];

/** An event by its kind. */
export type EntryEventOf<Type extends EntryEventType> = Extract<EntryEvent, { type: Type }>;

/** What is done at once after a transition, in this order. */
export type EntryEffect =
  | { readonly type: 'count'; readonly operation: 'fetch' | 'renew'; readonly result: string }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly error?: VouchsafeError;
    }
  /** Reports a failure. */
  | { readonly type: 'failure'; readonly error: VouchsafeError }
  /** A lease has a successor; files may still use it. */
  | { readonly type: 'supersede'; readonly lease: LeaseRef }
  /** Something changed that a successor of the agent has to know. */
  | { readonly type: 'save' }
  /** A rendering may have another result now. */
  | { readonly type: 'render' }
  /** A login is to precede the next read. */
  | { readonly type: 'log-in' }
  /** The next failure is the first one again. */
  | { readonly type: 'reset-waits' };

/** What is to be requested next. */
export type EntryRequest =
  { readonly type: 'fetch' } | { readonly type: 'renew'; readonly held: LeasedValue };

/** The result of a transition. */
export interface EntryTransition<State extends EntryState = EntryState> {
  readonly state: State;
  readonly effects: readonly EntryEffect[];
  readonly request?: EntryRequest;
}

/** The moment of an event, and chance. */
export interface EntryContext {
  /** Of the monotonic clock. */
  readonly nowMs: number;
  readonly random: Random;
  /** Id of the newest session. */
  readonly session: number;
  /** The token of that session, if its life is known. */
  readonly token?: TokenLife | undefined;
}

/** The state of a new entry; with a value, that of a predecessor. */
export function initialEntry(held: ObtainedValue | undefined, nowMs: number): EntryState {
  const times = { confirmedAtMs: nowMs, error: undefined };
  if (held === undefined) return { name: 'pending', times: { ...times, atMs: nowMs } };
  return { name: 'held', held, times: { ...times, atMs: held.plan.atMs } };
}

/** True if there is a value, which is that an optional secret does not exist. */
export function isAbsent(held: ObtainedValue | undefined): boolean {
  return held?.value === null;
}

/** The value, if there is one. */
export function heldOf(state: EntryState): ObtainedValue | undefined {
  return 'held' in state ? state.held : undefined;
}

/** When the event `due` is to follow. Infinity: another event comes first. */
export function entryDueAtMs({ name, times }: EntryState): number {
  return name === 'pending' || name === 'held' ? times.atMs : Infinity;
}
