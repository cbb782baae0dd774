/**
 * Every value that the files depend on, each on a schedule of its own. Ring: agent.
 *
 * An entry is `absent` (no value yet), `held` (a value, perhaps with a failed refresh behind it) or under way.
 * A failure or a refresh of one never touches another. A leased value that is replaced is kept as `superseded`
 * until the set that used it has been swapped out.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  dependencyKey,
  hasCode,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Dependency,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import { Bell, createBackoff, Latest, Semaphore, type Backoff } from '../lifecycle/index.ts';
import { x509Held, type Held, type LeaseHeld, type Obtainer } from './obtain.ts';
import { lastRenewalMs, MIN_INTERVAL_MS } from './schedule.ts';

/** Reads under way at once. */
const MAX_PARALLEL = 8;

/** Most values that one pod may depend on. */
const MAX_VALUES = 10_000;

/** Waits after a failure: short while a pod waits for its start, as slow as the refresh once files are there. */
const ABSENT_BACKOFF = { minMs: 500, maxMs: 30_000 } as const;
const HELD_BACKOFF = { minMs: 1000, maxMs: 300_000 } as const;

/** One dependency. */
export interface Entry {
  readonly key: string;
  readonly dependency: Dependency;
  refreshMs: number;
  held: Held | undefined;
  /** The last failure, until the next success. */
  error: VouchsafeError | undefined;
  /** Monotonic milliseconds of the next step. */
  atMs: number;
  isUnderWay: boolean;
  backoff: Backoff;
}

/** What {@link Values} needs. */
export interface ValuesOptions {
  readonly obtainer: Obtainer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called after each change that a successor must know of. */
  readonly onChange: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
}

/** Obtains values and keeps them fresh. */
export class Values {
  /** Wakes whenever a rendering may come out differently. */
  readonly changes = new Latest<undefined>();
  readonly #options: ValuesOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #bell: Bell;
  readonly #permits = new Semaphore(MAX_PARALLEL);
  readonly #steps;
  #superseded: LeaseHeld[] = [];

  constructor(options: ValuesOptions) {
    this.#options = options;
    this.#bell = new Bell(options.clock);
    this.#steps = options.metrics.counter(
      'vouchsafe_secret_operations_total',
      'Reads and renewals of secrets, by operation and result.',
      ['operation', 'result'],
    );
  }

  get entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** Leases that a newer value has replaced and that no delivery has taken over yet. */
  get superseded(): readonly LeaseHeld[] {
    return this.#superseded;
  }

  /** The value of a dependency, if it is there. */
  lookup(dependency: Dependency): { readonly value: unknown } | undefined {
    return this.#entries.get(dependencyKey(dependency))?.held;
  }

  /** Makes sure that a dependency is obtained and kept; `refreshMs` is how often one without a lease is read. */
  require(dependency: Dependency, refreshMs: number): void {
    const key = dependencyKey(dependency);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.refreshMs = refreshMs;
      return;
    }
    if (this.#entries.size >= MAX_VALUES) {
      throw new VouchsafeError('ERR_TEMPLATE_LIMIT', `more than ${MAX_VALUES} secrets in one pod`);
    }
    this.#add(dependency, refreshMs, undefined);
    this.#bell.ring();
  }

  /** Goes on with a value of a predecessor. */
  resume(dependency: Dependency, refreshMs: number, held: Held): void {
    this.#add(dependency, refreshMs, held);
  }

  /** Takes a value that came by itself, from a stream. */
  put(dependency: Dependency, value: unknown): void {
    const entry =
      this.#entries.get(dependencyKey(dependency)) ?? this.#add(dependency, 0, undefined);
    this.#accept(entry, x509Held(value));
  }

  /** Forgets every dependency that is not in `keys`; their leases are let go. */
  retain(keys: ReadonlySet<string>): void {
    for (const [key, entry] of this.#entries) {
      if (keys.has(key) || entry.isUnderWay) continue;
      this.#entries.delete(key);
      if (entry.held?.lease !== undefined) this.#superseded.push(entry.held.lease);
    }
  }

  /** Forgets superseded leases: the files that used them are gone, and somebody else lets them go. */
  forget(leases: readonly LeaseHeld[]): void {
    this.#superseded = this.#superseded.filter((lease) => !leases.includes(lease));
  }

  /** Replaces every lease that does not hang off `session`, now. */
  moveLeasesTo(session: number): void {
    for (const entry of this.#entries.values()) {
      const lease = entry.held?.lease;
      if (entry.held === undefined || lease === undefined || lease.session === session) continue;
      entry.held = { ...entry.held, plan: { ...entry.held.plan, action: 'fetch' } };
      entry.atMs = this.#options.clock.monotonicMs();
    }
    this.#bell.ring();
  }

  /** Does what is due, when it is due, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const underWay = new Set<Promise<void>>();
    try {
      for (;;) {
        const now = this.#options.clock.monotonicMs();
        for (const entry of this.#entries.values()) {
          if (entry.isUnderWay || entry.atMs > now) continue;
          entry.isUnderWay = true;
          const step: Promise<void> = this.#step(entry, signal).finally(() =>
            underWay.delete(step),
          );
          underWay.add(step);
        }
        await this.#bell.waitUntil(this.#nextMs(), signal);
      }
    } finally {
      await Promise.allSettled(underWay);
    }
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
    const { held } = entry;
    const operation = held?.plan.action ?? 'fetch';
    try {
      const next = await this.#permits.run(signal, () =>
        operation === 'renew' && held?.lease !== undefined
          ? this.#options.obtainer.renew({ ...held, lease: held.lease }, signal)
          : this.#options.obtainer.fetch(entry.dependency, entry.refreshMs, signal),
      );
      this.#steps.add({ operation, result: 'ok' });
      this.#recovered(entry);
      this.#accept(entry, next);
    } catch (caught) {
      if (signal.aborted) return;
      const error = toVouchsafeError(caught);
      this.#steps.add({ operation, result: error.code });
      this.#failed(entry, error);
    } finally {
      entry.isUnderWay = false;
      this.#bell.ring();
    }
  }

  #accept(entry: Entry, next: Held): void {
    const previous = entry.held;
    entry.held = next;
    entry.atMs = next.plan.atMs;
    entry.backoff = this.#backoff(entry);
    const isReplaced = previous?.lease !== undefined && previous.lease.id !== next.lease?.id;
    if (isReplaced && previous.lease !== undefined) this.#superseded.push(previous.lease);
    if (next.lease !== undefined) this.#options.onChange();
    if (isReplaced || !isDeepStrictEqual(previous?.value, next.value)) {
      this.changes.set(undefined);
    }
  }

  #failed(entry: Entry, error: VouchsafeError): void {
    const { clock, logger } = this.#options;
    if (entry.error?.code !== error.code) {
      logger[error.level]('secret was not refreshed', { secret: entry.key, error });
    }
    entry.error = error;
    this.#options.onFailure(error);
    const now = clock.monotonicMs();
    const { held } = entry;
    const waitMs = hasCode(error, 'ERR_VAULT_TOKEN_INVALID')
      ? MIN_INTERVAL_MS / 4
      : entry.backoff.nextMs(error.retryAfterMs);
    entry.atMs = now + waitMs;
    if (held?.plan.action !== 'renew' || held.lease === undefined) return;
    const lastMs = lastRenewalMs(held.plan.expiresAtMs, held.lease.fullMs);
    if (hasCode(error, 'ERR_VAULT_LEASE_GONE') || entry.atMs >= lastMs) {
      // The lease is lost or nearly over: from now on a new credential is what is asked for.
      entry.held = { ...held, plan: { ...held.plan, action: 'fetch' } };
      entry.atMs = hasCode(error, 'ERR_VAULT_LEASE_GONE') ? now : Math.max(now, lastMs);
    }
  }

  #recovered(entry: Entry): void {
    if (entry.error === undefined) return;
    this.#options.logger.info('secret is refreshed again', { secret: entry.key });
    entry.error = undefined;
  }

  #add(dependency: Dependency, refreshMs: number, held: Held | undefined): Entry {
    const entry: Entry = {
      key: dependencyKey(dependency),
      dependency,
      refreshMs,
      held,
      error: undefined,
      atMs: held?.plan.atMs ?? this.#options.clock.monotonicMs(),
      isUnderWay: false,
      backoff: createBackoff({ ...ABSENT_BACKOFF, random: this.#options.random }),
    };
    entry.backoff = this.#backoff(entry);
    this.#entries.set(entry.key, entry);
    return entry;
  }

  #backoff(entry: Entry): Backoff {
    const { random } = this.#options;
    // A value that is absent or will expire is worth more haste than one that stays good.
    if (entry.held === undefined || entry.held.plan.expiresAtMs !== Infinity) {
      return createBackoff({ ...ABSENT_BACKOFF, random });
    }
    const maxMs = Math.max(
      HELD_BACKOFF.minMs,
      Math.min(HELD_BACKOFF.maxMs, entry.refreshMs || HELD_BACKOFF.maxMs),
    );
    return createBackoff({ minMs: HELD_BACKOFF.minMs, maxMs, random });
  }
}
