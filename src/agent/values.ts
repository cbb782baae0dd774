/**
 * Every value that the files depend on, each with its own schedule.
 *
 * An entry is `absent` (no value yet), `held` (a value, perhaps after a failed refresh) or being fetched or renewed.
 * The failure or refresh of one entry does not affect others. A lease that is replaced is kept as `superseded` until the
 * files that used it have been swapped out.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  dependencyKey,
  dependencyLabel,
  hasCode,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Counter,
  type Dependency,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import {
  createBackoff,
  DEADLINE,
  Latest,
  WakeableTimer,
  withDeadline,
  type Backoff,
} from '../async/index.ts';
import { backoffOf, createEntry, type Entry } from './entry.ts';
import { x509Value, type ObtainedValue, type LeaseRef, type Obtainer } from './obtain.ts';
import type { KnownValues, ValuesRoom } from './ports.ts';
import { lastRenewalMs, spreadFirst } from './schedule.ts';
import { sizeOf } from './value-sizes.ts';

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

export interface ValuesOptions {
  readonly obtainer: Obtainer;
  /** The most values at a time. Default 10 000. */
  readonly maxValues?: number | undefined;
  /** Bounds the memory of the values. Default: no bound. */
  readonly room?: ValuesRoom | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called after each change that has to be saved for a successor. */
  readonly onChange: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
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
  /** Id of the newest known session; leases of older ones are replaced. */
  #session = 0;
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

  /** Every known value, by its key. */
  get known(): KnownValues {
    const known = new Map<string, { readonly value: unknown }>();
    for (const { key, held } of this.#entries.values())
      if (held !== undefined) known.set(key, held);
    return known;
  }

  /** The value of a dependency, if it is known. */
  lookup(dependency: Dependency): { readonly value: unknown } | undefined {
    return this.#entries.get(dependencyKey(dependency))?.held;
  }

  /** Starts to obtain a dependency and keep it fresh; `refreshMs` is how often it is read if it has no lease. */
  track(dependency: Dependency, refreshMs: number): void {
    const key = dependencyKey(dependency);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.refreshMs = refreshMs;
      return;
    }
    const { maxValues = MAX_VALUES } = this.#options;
    if (this.#entries.size >= maxValues) {
      throw new VouchsafeError('ERR_TEMPLATE_LIMIT', `more than ${maxValues} secrets in one pod`);
    }
    this.#add(dependency, refreshMs, undefined);
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
    this.#accept(entry, x509Value(value));
    this.#options.room?.adopt(sizeOf(this.#entries.values()));
  }

  /** Drops every dependency that is not in `keys`, and returns their leases. */
  dropAllExcept(keys: ReadonlySet<string>): readonly Superseded[] {
    const dropped: Superseded[] = [];
    for (const { key, held, isUnderWay } of this.#entries.values()) {
      if (keys.has(key) || isUnderWay) continue;
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

  /** Replaces every lease that belongs to an older session than this one, now. */
  moveLeasesTo(session: number): void {
    this.#session = session;
    for (const entry of this.#entries.values()) this.#moveLease(entry);
    this.#timer.wake();
    // If no lease belongs to the older session, the next delivery revokes it.
    this.changes.set(undefined);
  }

  /** Runs every step when it is due, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        for (const entry of this.#due()) {
          entry.isUnderWay = true;
          const step = this.#step(entry, signal);
          this.#steps.add(step);
          void step.then(() => this.#steps.delete(step)); // a step never rejects
        }
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

  #due(): readonly Entry[] {
    const now = this.#options.clock.monotonicMs();
    return [...this.#entries.values()].filter((entry) => !entry.isUnderWay && entry.atMs <= now);
  }

  #nextMs(): number {
    let next = Infinity;
    for (const entry of this.#entries.values()) {
      if (!entry.isUnderWay) next = Math.min(next, entry.atMs);
    }
    return next;
  }

  /** One step of one entry; never rejects. */
  async #step(entry: Entry, signal: AbortSignal): Promise<void> {
    const { obtainer } = this.#options;
    const { held } = entry;
    const operation = held?.plan.action ?? 'fetch';
    try {
      const next =
        operation === 'renew' && held?.lease !== undefined
          ? await obtainer.renew({ ...held, lease: held.lease }, signal)
          : await obtainer.fetch(entry, signal);
      this.#operations.add({ operation, result: 'ok' });
      this.#checkRoom(entry, next);
      this.#recovered(entry);
      this.#accept(entry, next);
    } catch (caught) {
      if (signal.aborted) return;
      const error = toVouchsafeError(caught);
      this.#operations.add({ operation, result: error.code });
      this.#failed(entry, error);
    } finally {
      entry.isUnderWay = false;
      this.#timer.wake();
    }
  }

  /** Throws if there is no room for a value; its new lease is revoked. */
  #checkRoom({ key, dependency, held }: Entry, next: ObtainedValue): void {
    const { room } = this.#options;
    if (room === undefined) return;
    try {
      const coming = sizeOf(this.#entries.values(), { key, held: next });
      room.hold(coming, dependencyLabel(dependency));
    } catch (error) {
      if (next.lease !== undefined && next.lease.id !== held?.lease?.id) {
        this.#superseded = [...this.#superseded, { key, lease: next.lease }];
        this.changes.set(undefined);
      }
      throw error;
    }
  }

  #accept(entry: Entry, next: ObtainedValue): void {
    const { clock, random } = this.#options;
    const nowMs = clock.monotonicMs();
    const previous = entry.held;
    const isNew = previous === undefined || previous.lease?.id !== next.lease?.id;
    const plan = isNew ? spreadFirst(next.plan, { monotonicMs: nowMs, random }) : next.plan;
    entry.held = { ...next, plan };
    entry.atMs = plan.atMs;
    entry.confirmedAtMs = nowMs;
    entry.backoff = backoffOf(entry, { random, clock });
    // A newer login may have succeeded meanwhile.
    this.#moveLease(entry);
    const replaced = isNew ? previous?.lease : undefined;
    if (replaced !== undefined) {
      this.#superseded = [...this.#superseded, { key: entry.key, lease: replaced }];
    }
    if (next.lease !== undefined) this.#options.onChange();
    if (replaced !== undefined || !isDeepStrictEqual(previous?.value, next.value)) {
      this.changes.set(undefined);
    }
  }

  #moveLease(entry: Entry): void {
    const { held } = entry;
    if (held?.lease === undefined || held.lease.session >= this.#session) return;
    entry.held = { ...held, plan: { ...held.plan, action: 'fetch' } };
    entry.atMs = this.#options.clock.monotonicMs();
  }

  #failed(entry: Entry, error: VouchsafeError): void {
    const { clock, logger } = this.#options;
    if (entry.error?.code !== error.code) {
      logger[error.level]('secret was not refreshed', {
        secret: dependencyLabel(entry.dependency),
        error,
      });
    }
    entry.error = error;
    this.#options.onFailure(error);
    const now = clock.monotonicMs();
    const backoff = error.retry === 'reauth' ? this.#reauth : entry.backoff;
    entry.atMs = now + backoff.nextMs(error.retryAfterMs);
    const { held } = entry;
    if (held?.plan.action !== 'renew' || held.lease === undefined) return;
    const isGone = hasCode(error, 'ERR_VAULT_LEASE_GONE');
    const lastMs = lastRenewalMs(held.plan.expiresAtMs, held.lease.fullMs);
    if (!isGone && entry.atMs < lastMs) return;
    // The lease is invalid or about to expire: from now on a new credential is requested.
    entry.held = { ...held, plan: { ...held.plan, action: 'fetch' } };
    entry.atMs = isGone ? now : Math.max(now + (error.retryAfterMs ?? 0), lastMs);
  }

  #recovered(entry: Entry): void {
    if (entry.error === undefined) return;
    this.#options.logger.info('secret is refreshed again', {
      secret: dependencyLabel(entry.dependency),
    });
    entry.error = undefined;
  }

  #add(dependency: Dependency, refreshMs: number, held: ObtainedValue | undefined): Entry {
    const { clock, random } = this.#options;
    this.#made += 1;
    const entry = createEntry(dependency, {
      ...{ number: this.#made, refreshMs, held, random, clock },
    });
    this.#entries.set(entry.key, entry);
    return entry;
  }
}
