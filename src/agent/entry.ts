/**
 * One value that the files depend on, and its backoff after failures.
 */
import {
  dependencyKey,
  dependencyLabel,
  type Clock,
  type Dependency,
  type LogFields,
  type Random,
  type VouchsafeError,
} from '../core/index.ts';
import { createBackoff, type Backoff } from '../async/index.ts';
import {
  entryDueAtMs,
  heldOf,
  initialEntry,
  type EntryContext,
  type EntryEvent,
  type EntryState,
  type EntryTransition,
} from './entry-state.ts';
import { transitionEntry } from './entry-transitions.ts';
import type { ObtainedValue } from './obtain.ts';
import { SLOW_WAITS, START_WAITS, waitsOfLife, waitsOfRefresh, type Waits } from './schedule.ts';

/** One dependency. What is known of its value changes only by {@link Entry.apply}. */
export class Entry {
  /** Identifies it where its path must not be shown, from 1. */
  readonly number: number;
  readonly key: string;
  /** As the files need it at the moment: a read may become optional or required. */
  dependency: Dependency;
  #refreshMs: number;
  #isRepeated = false;
  #backoff: Backoff;
  /** For failures of the retry class `slow`. */
  readonly #slowBackoff: Backoff;
  #state: EntryState;
  #dueAtMs: number;

  constructor(dependency: Dependency, start: NewEntry) {
    const { number, refreshMs, held, clock } = start;
    this.number = number;
    this.key = dependencyKey(dependency);
    this.dependency = dependency;
    this.#refreshMs = refreshMs;
    this.#state = initialEntry(held, clock.monotonicMs());
    this.#dueAtMs = entryDueAtMs(this.#state);
    this.#backoff = backoffOf(this, start);
    this.#slowBackoff = createBackoff({ ...SLOW_WAITS, random: start.random });
  }

  /** How often it is read if it has no lease. */
  get refreshMs(): number {
    return this.#refreshMs;
  }

  /** Whether a write is repeated at each refresh. */
  get isRepeated(): boolean {
    return this.#isRepeated;
  }

  get state(): EntryState {
    return this.#state;
  }

  get held(): ObtainedValue | undefined {
    return heldOf(this.#state);
  }

  /** The last failure, until the next success. */
  get error(): VouchsafeError | undefined {
    return this.#state.times.error;
  }

  /** Monotonic milliseconds of the next step. */
  get atMs(): number {
    return this.#state.times.atMs;
  }

  /** When the next step is to be taken. Infinity: one is in progress. */
  get dueAtMs(): number {
    return this.#dueAtMs;
  }

  /** Monotonic milliseconds of the last read or renewal that succeeded. */
  get confirmedAtMs(): number {
    return this.#state.times.confirmedAtMs;
  }

  /** Sets how often it is obtained; true if it is repeated from now on and was not before. */
  setRefresh(refreshMs: number, isRepeated: boolean): boolean {
    const isNew = isRepeated && !this.#isRepeated;
    this.#refreshMs = refreshMs;
    this.#isRepeated = isRepeated;
    return isNew;
  }

  /** The waits after a failure. */
  backoffFor({ retry }: VouchsafeError): Backoff {
    return retry === 'slow' ? this.#slowBackoff : this.#backoff;
  }

  /** Starts the waits again after a success, by what a failure now puts at risk. */
  resetWaits(parts: { readonly random: Random; readonly clock: Clock }): void {
    this.#backoff = backoffOf(this, parts);
    this.#slowBackoff.reset();
  }

  /** Changes the state, and returns what is to be done. */
  apply(event: EntryEvent, context: EntryContext): Omit<EntryTransition, 'state'> {
    const { state, ...rest } = transitionEntry(this.#state, event, context);
    this.#state = state;
    this.#dueAtMs = entryDueAtMs(state);
    return rest;
  }
}

/** A new entry: due now, or as its held value plans. */
interface NewEntry {
  readonly number: number;
  readonly refreshMs: number;
  readonly held: ObtainedValue | undefined;
  readonly random: Random;
  readonly clock: Clock;
}

/** Backoff by what a failure puts at risk: a start, a value that expires, or only its freshness. */
export function backoffOf(
  { held, refreshMs }: Pick<Entry, 'held' | 'refreshMs'>,
  { random, clock }: { readonly random: Random; readonly clock: Clock },
): Backoff {
  return createBackoff({ ...waitsOf(held, refreshMs, clock), random });
}

function waitsOf(held: ObtainedValue | undefined, refreshMs: number, clock: Clock): Waits {
  if (held === undefined) return START_WAITS;
  const { expiresAtMs, rotatesAtMs } = held.plan;
  // After the rotation the old password is not valid any more.
  if (rotatesAtMs !== undefined)
    return waitsOfLife(refreshMs, () => rotatesAtMs - clock.monotonicMs());
  if (expiresAtMs === Infinity) return waitsOfRefresh(refreshMs);
  const leftMs = (): number => expiresAtMs - clock.monotonicMs();
  const fullMs = held.lease?.fullMs ?? leftMs();
  // If the local clock is ahead, it had expired on arrival: then it is read at its refresh interval, too.
  return fullMs < 0 ? waitsOfRefresh(refreshMs) : waitsOfLife(fullMs, leftMs);
}

/** What a log line says of an entry, with its error if there is one. */
export function logFields({ dependency }: Entry, error: VouchsafeError | undefined): LogFields {
  const secret = dependencyLabel(dependency);
  return error === undefined ? { secret } : { secret, error };
}
