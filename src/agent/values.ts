/**
 * Every value that the files depend on, each with its own schedule.
 *
 * What happens to an entry is decided by the state machine of `entry-transitions.ts`; this class reports events to it and does what
 * it asks for. The failure or refresh of one entry does not affect others. A lease that is replaced is kept as `superseded`
 * until the files that used it have been swapped out.
 */
import {
  dependencyKey,
  dependencyLabel,
  isOptional,
  keyInTemplates,
  loginOf,
  toVouchsafeError,
  VouchsafeError,
  type Counter,
  type Dependency,
} from '../core/index.ts';
import {
  createBackoff,
  DEADLINE,
  Latest,
  WakeableTimer,
  withDeadline,
  type Backoff,
} from '../async/index.ts';
import { isAbsent, type EntryEffect, type EntryEvent, type EntryRequest } from './entry-state.ts';
import { Entry, logFields } from './entry.ts';
import { x509Value, type LeaseRef, type ObtainedValue } from './obtain.ts';
import type { KnownValues } from './ports.ts';
import { sizeOf } from './value-sizes.ts';
import type { ValuesOptions } from './values-options.ts';

/** The most values that one pod may depend on, by default. */
const MAX_VALUES = 10_000;

/** Waits after Vault has rejected the token; the login that has to come first has its own backoff. */
const REAUTH_BACKOFF = { minMs: 250, maxMs: 500 } as const;

/** A lease that a newer value has replaced, while files may still use it. */
export interface Superseded {
  /** Key of the dependency. */
  readonly key: string;
  readonly lease: LeaseRef;
}

/** Obtains values and keeps them fresh. */
export class Values {
  /** Set whenever a rendering may have a different result. */
  readonly changes = new Latest<undefined>();
  readonly #options: ValuesOptions;
  readonly #entries = new Map<string, Entry>();
  /** The number of entries created so far. */
  #made = 0;
  readonly #timer: WakeableTimer;
  readonly #reauth: Backoff;
  readonly #operations: Counter;
  readonly #steps = new Set<Promise<void>>();
  /** Id of the newest known session of each login; leases of older ones are replaced. */
  readonly #sessions = new Map<string | undefined, number>();
  #superseded: readonly Superseded[] = [];

  constructor(options: ValuesOptions) {
    this.#options = options;
    this.#timer = new WakeableTimer(options.clock);
    this.#reauth = createBackoff({ ...REAUTH_BACKOFF, random: options.random });
    this.#operations = options.metrics.counter(
      'vouchsafe_secret_operations_total',
      'Reads and renewals of secrets, by operation and result.',
      ['operation', 'result'],
    );
  }

  get entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** Leases that newer values have replaced and that no delivery has taken over yet. */
  get superseded(): readonly Superseded[] {
    return this.#superseded;
  }

  /** When the longest unconfirmed of these values was confirmed; undefined if there is none. */
  confirmedAtMs(keys: Iterable<string>): number | undefined {
    const times = [...keys].flatMap((key) => this.#entries.get(key)?.confirmedAtMs ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Every known value of a login, and every known SVID, by the key that templates have for it. */
  known(login: string | undefined): KnownValues {
    const known = new Map<string, { readonly value: unknown }>();
    for (const { dependency, held } of this.#entries.values()) {
      const key = held === undefined ? undefined : keyInTemplates(dependency, login);
      if (key !== undefined && held !== undefined) known.set(key, held);
    }
    return known;
  }

  /** The value of a dependency, if it is known. */
  lookup(dependency: Dependency): { readonly value: unknown } | undefined {
    return this.#entries.get(dependencyKey(dependency))?.held;
  }

  /**
   * Starts to obtain a dependency and keep it fresh; `refreshMs` is how often it is read if it has no lease, and written if
   * `isRepeated`. An absent secret that is no longer optional is read again at once.
   */
  track(dependency: Dependency, refreshMs: number, isRepeated = false): void {
    const key = dependencyKey(dependency);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.dependency = dependency;
      this.#requireValue(known);
      if (known.setRefresh(refreshMs, isRepeated)) {
        this.#apply(known, { type: 'repeated', afterMs: refreshMs });
        this.#timer.wake();
      }
      return;
    }
    const { maxValues = MAX_VALUES } = this.#options;
    if (this.#entries.size >= maxValues) {
      throw new VouchsafeError('ERR_TEMPLATE_LIMIT', `more than ${maxValues} secrets in one pod`);
    }
    this.#add(dependency, refreshMs, undefined).setRefresh(refreshMs, isRepeated);
    this.#timer.wake();
  }

  /** Resumes a value of a predecessor. */
  resume(dependency: Dependency, refreshMs: number, held: ObtainedValue): void {
    this.#add(dependency, refreshMs, held);
    this.#options.room?.adopt(sizeOf(this.#entries.values()));
  }

  /** Sets a value that a stream has delivered. */
  setFromStream(dependency: Dependency, value: unknown): void {
    const entry =
      this.#entries.get(dependencyKey(dependency)) ?? this.#add(dependency, 0, undefined);
    this.#apply(entry, { type: 'streamed', value: x509Value(value) });
    this.#options.room?.adopt(sizeOf(this.#entries.values()));
  }

  /** Drops every dependency that is not in `keys`, and returns their leases. */
  dropAllExcept(keys: ReadonlySet<string>): readonly Superseded[] {
    const dropped: Superseded[] = [];
    for (const entry of this.#entries.values()) {
      const { key, held } = entry;
      if (keys.has(key)) continue;
      this.#apply(entry, { type: 'dropped' });
      if (entry.state.name !== 'dropped') continue;
      this.#entries.delete(key);
      if (held?.lease !== undefined) dropped.push({ key, lease: held.lease });
    }
    this.#options.room?.adopt(sizeOf(this.#entries.values()));
    return dropped;
  }

  /** Drops superseded leases: no file uses them any more, and the caller revokes them. */
  forget(superseded: readonly Superseded[]): void {
    this.#superseded = this.#superseded.filter((item) => !superseded.includes(item));
  }

  /** Replaces every lease that belongs to an older session of this login, now. */
  moveLeasesTo(session: number, login?: string): void {
    this.#sessions.set(login, session);
    for (const entry of this.#entries.values()) {
      if (loginOf(entry.dependency) === login) this.#apply(entry, { type: 'sessionReplaced' });
    }
    this.#timer.wake();
    // If no lease belongs to the older session, the next delivery revokes it.
    this.changes.set(undefined);
  }

  /** Runs every step when it is due, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        this.#takeDueSteps(signal);
        await this.#timer.waitUntil(this.#nextMs(), signal);
      }
    } finally {
      await Promise.all(this.#steps);
    }
  }

  /** Resolves when nothing is being read or renewed, at the latest after `limitMs`. */
  async settled(limitMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const idle = async (inner: AbortSignal): Promise<void> => {
      while (this.#steps.size > 0 && !inner.aborted) await Promise.all(this.#steps);
    };
    await withDeadline({ clock, ms: limitMs, signal }, idle).catch((error: unknown) => {
      if (error !== DEADLINE) throw error;
    });
  }

  #nextMs(): number {
    let next = Infinity;
    for (const entry of this.#entries.values()) next = Math.min(next, entry.dueAtMs);
    return next;
  }

  /** Reports an event to the state machine of an entry, executes the effects, and returns what to request next. */
  #apply(entry: Entry, event: EntryEvent): EntryRequest | undefined {
    const { clock, random, token } = this.#options;
    const login = loginOf(entry.dependency);
    const now = { nowMs: clock.monotonicMs(), random, session: this.#sessions.get(login) ?? 0 };
    const { effects, request } = entry.apply(event, { ...now, token: token?.(login) });
    for (const effect of effects) this.#execute(entry, effect);
    return request;
  }

  #execute(entry: Entry, effect: EntryEffect): void {
    const { clock, random, logger, logIn, onChange, onFailure } = this.#options;
    switch (effect.type) {
      case 'count':
        this.#operations.add({ operation: effect.operation, result: effect.result });
        break;
      case 'log':
        logger[effect.level](effect.message, logFields(entry, effect.error));
        break;
      case 'failure':
        onFailure(effect.error);
        break;
      case 'supersede':
        this.#superseded = [...this.#superseded, { key: entry.key, lease: effect.lease }];
        break;
      case 'save':
        onChange();
        break;
      case 'render':
        this.changes.set(undefined);
        break;
      case 'log-in':
        logIn?.(loginOf(entry.dependency));
        break;
      case 'reset-waits':
        entry.resetWaits({ random, clock });
    }
  }

  #takeDueSteps(signal: AbortSignal): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const entry of this.#entries.values()) {
      if (entry.dueAtMs > nowMs) continue;
      const request = this.#apply(entry, { type: 'due' });
      if (request === undefined) continue;
      const step = this.#request(entry, request, signal);
      this.#steps.add(step);
      void step.then(() => this.#steps.delete(step)); // a step never rejects
    }
  }

  /** Sends one request for an entry and reports what came of it. */
  async #request(entry: Entry, request: EntryRequest, signal: AbortSignal): Promise<void> {
    const { obtainer, room } = this.#options;
    let value: ObtainedValue | undefined;
    let event: EntryEvent;
    try {
      value =
        request.type === 'renew'
          ? await obtainer.renew(request.held, signal)
          : await obtainer.fetch(entry, signal);
      const { key, dependency } = entry;
      room?.hold(sizeOf(this.#entries.values(), { key, held: value }), dependencyLabel(dependency));
      event = { type: 'obtained', value };
    } catch (caught) {
      // What was obtained may have a lease, which must not be lost.
      const isAborted = signal.aborted && value === undefined;
      event = isAborted ? { type: 'aborted' } : this.#failure(entry, caught, value);
    }
    this.#apply(entry, event);
    this.#requireValue(entry);
    this.#timer.wake();
  }

  /** An absent secret is a value only while it is optional; it may have become required during the read. */
  #requireValue(entry: Entry): void {
    if (!isAbsent(entry.held) || isOptional(entry.dependency)) return;
    this.#apply(entry, { type: 'required' });
    this.#timer.wake();
  }

  /** A failure of a request, or of a value that there is no room for. */
  #failure(entry: Entry, caught: unknown, value: ObtainedValue | undefined): EntryEvent {
    const error = toVouchsafeError(caught);
    const backoff = error.retry === 'reauth' ? this.#reauth : entry.backoffFor(error);
    const waitMs = backoff.nextMs(error.retryAfterMs);
    return value === undefined
      ? { type: 'failed', error, waitMs }
      : { type: 'rejected', value, error, waitMs };
  }

  #add(dependency: Dependency, refreshMs: number, held: ObtainedValue | undefined): Entry {
    const { clock, random } = this.#options;
    this.#made += 1;
    const entry = new Entry(dependency, { number: this.#made, refreshMs, held, random, clock });
    this.#entries.set(entry.key, entry);
    return entry;
  }
}
