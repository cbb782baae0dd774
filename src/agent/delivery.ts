/**
 * From values to files: render, swap in, notify, and only then revoke the old credentials.
 */
import {
  hasCode,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Counter,
  type Dependency,
  type Metrics,
  type Random,
} from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { NotifyAction } from '../config/schema/index.ts';
import { createBackoff, runAll, type Backoff } from '../async/index.ts';
import { chooseSet, type ChosenFile } from './choose-set.ts';
import type { FileSet, RenderedFile } from './file-set.ts';
import { PostDelivery, type PostDeliveryOptions } from './post-delivery.ts';
import { digestsOf, changedPaths, type Digests } from './changed-files.ts';
import type { WriterPort } from './ports.ts';
import type { Superseded, Values } from './values.ts';

/** Consecutive passes that may each find new dependencies; a template that needs more generates paths endlessly. */
const MAX_PASSES = 100;

/**
 * How long a change waits for others in progress, in milliseconds. A login replaces all credentials: the application
 * is notified once, not once for each.
 */
const SETTLE_MS = 2000;

/**
 * How often the delivered files are compared with their intended content: once per shortest `refresh`, within these
 * bounds. Nothing reports that a volume was emptied or a file edited.
 */
const COMPARE_MS = { least: 10_000, most: 5 * 60_000 };

/** Whether the files are on disk: not yet, as a predecessor left them, or written or confirmed by this process. */
export type DeliveryState = 'none' | 'by-predecessor' | 'confirmed';

/** A file as it was last delivered. Times are of the monotonic clock. */
export interface DeliveredFile {
  readonly name: string;
  readonly path: string;
  /** When its values were last confirmed while the file held them. */
  readonly knownGoodAtMs: number;
  /** The last change of its bytes. */
  readonly changedAtMs: number;
}

export interface DeliveryParts extends PostDeliveryOptions {
  readonly config: Pick<AgentConfig, 'files' | 'onChange'>;
  readonly fileSet: FileSet;
  readonly values: Values;
  readonly writer: WriterPort;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  /** Saves the state before files are swapped in, so that no credential is lost if the agent is killed. */
  readonly beforeWrite: () => void;
  /** Called after each delivery. */
  readonly onDelivered: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
}

interface Kept extends ChosenFile {
  readonly deliveredAtMs: number;
  readonly changedAtMs: number;
  /** True while newer values are not in the file. */
  isStale: boolean;
}

/** Delivers the set each time a value changes. */
export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #backoff: Backoff;
  readonly #failures: Counter;
  readonly #kept = new Map<string, Kept>();
  readonly #postDelivery: PostDelivery;
  /** Dependencies of the last pass that have no value yet; nothing is rendered before they have. */
  #missing: readonly Dependency[] = [];
  #known = 0;
  #passes = 0;
  #state: DeliveryState;
  /** Digests of the last written set, at first that of a predecessor. */
  #written: Digests;
  #lastError: VouchsafeError | undefined;

  /** `state`: after a delivery by a predecessor, the application is notified of changes. */
  constructor(parts: DeliveryParts, state: Exclude<DeliveryState, 'confirmed'>) {
    this.#parts = parts;
    this.#state = state;
    this.#postDelivery = new PostDelivery(parts);
    this.#written = new Map(parts.notifiedDigests);
    this.#backoff = createBackoff({ minMs: 500, maxMs: 60_000, random: parts.random });
    this.#failures = parts.metrics.counter(
      'vouchsafe_delivery_failures_total',
      'File sets that were not delivered, or only in part, by error code.',
      ['code'],
    );
  }

  get state(): DeliveryState {
    return this.#state;
  }

  /** Why the newest values are not in the files; undefined when they are. */
  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  /** The files that this process has delivered. */
  get files(): readonly DeliveredFile[] {
    const { clock, values } = this.#parts;
    return [...this.#kept.values()].map(({ file, keys, deliveredAtMs, changedAtMs, isStale }) => {
      const confirmedAtMs = values.confirmedAtMs(keys) ?? clock.monotonicMs();
      const knownGoodAtMs = isStale ? Math.min(deliveredAtMs, confirmedAtMs) : confirmedAtMs;
      return { name: file.name, path: file.path, knownGoodAtMs, changedAtMs };
    });
  }

  /** Renders again with the new templates, which may need other values. */
  templatesChanged(): void {
    this.#missing = [];
    this.#passes = 0;
    this.#parts.values.changes.set(undefined);
  }

  /** Delivers until `signal` aborts; then waits for the notifications and revocations in progress. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await runAll(signal, [(inner) => this.#follow(inner), (inner) => this.#compare(inner)]);
    } finally {
      await this.#postDelivery.settled();
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    this.#parts.values.changes.set(undefined);
    for await (const _ of this.#parts.values.changes.updates(signal)) {
      if (this.#state !== 'none') await this.#parts.values.settled(SETTLE_MS, signal);
      await this.#deliver(signal);
    }
  }

  /** Delivers the same set periodically: the writer compares, and rewrites only what differs. */
  async #compare(signal: AbortSignal): Promise<void> {
    const { clock, config, values } = this.#parts;
    const shortest = Math.min(...config.files.map(({ refreshMs }) => refreshMs), COMPARE_MS.most);
    for (;;) {
      await clock.sleep(Math.max(shortest, COMPARE_MS.least), signal);
      if (this.#kept.size > 0) values.changes.set(undefined);
    }
  }

  async #deliver(signal: AbortSignal): Promise<void> {
    try {
      await this.#attempt(signal);
    } catch (caught) {
      signal.throwIfAborted();
      const error = toVouchsafeError(caught);
      for (const kept of this.#kept.values()) kept.isStale = true;
      this.#fail(error);
      const isRetried = error.code.startsWith('ERR_OUTPUT_') || hasCode(error, 'ERR_TEMPLATE_BUSY');
      if (isRetried) await this.#retryLater(error, signal);
    }
  }

  /**
   * Retries after failures that new values or templates would not solve: of writing, and of a renderer that was busy.
   */
  async #retryLater(error: VouchsafeError, signal: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(this.#backoff.nextMs(error.retryAfterMs), signal);
    this.#parts.values.changes.set(undefined);
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { values, fileSet, writer } = this.#parts;
    this.#missing = this.#missing.filter((dependency) => values.lookup(dependency) === undefined);
    if (this.#missing.length > 0) return;
    // Read before rendering: a lease that is superseded from here on may be in the set that is about to be written.
    const superseded = values.superseded;
    const rendered = await fileSet.render(values.known, signal);
    const limit = this.#track(rendered);
    const chosen = chooseSet(rendered, this.#kept);
    const error = rendered.find((item) => item.error !== undefined)?.error ?? limit;
    if (chosen === undefined) {
      if (error !== undefined) throw error;
      this.#missing = rendered.flatMap(({ missing }) => missing);
      return;
    }
    this.#parts.beforeWrite();
    const files = chosen.map(({ file, content, digest }) => ({
      ...pathAndMode(file),
      content,
      digest,
    }));
    const { changed, swapped } = await writer.write(files, signal);
    const digests = digestsOf(files);
    const news = changedPaths(digests, { before: this.#written, changed });
    this.#written = digests;
    this.#recordDelivered(chosen, changed);
    const dropped = this.#releasableLeases(chosen, superseded).map(({ lease }) => lease);
    if (swapped) this.#log(changed, news);
    this.#succeed(error);
    const actions = this.#state === 'none' ? [] : this.#actions(news);
    this.#state = 'confirmed';
    this.#parts.onDelivered();
    this.#postDelivery.start({ digests, actions, dropped }, signal);
  }

  /** Tracks all dependencies that were found; returns an error if there are too many. */
  #track(rendered: readonly RenderedFile[]): VouchsafeError | undefined {
    const { values } = this.#parts;
    const found = new Map<string, { dependency: Dependency; refreshMs: number }>();
    for (const { file, used } of rendered) {
      for (const [key, dependency] of used) {
        const refreshMs = Math.min(file.refreshMs, found.get(key)?.refreshMs ?? Infinity);
        found.set(key, { dependency, refreshMs });
      }
    }
    const isMissing = rendered.some(({ missing }) => missing.length > 0);
    if (!isMissing) this.#passes = 0;
    else if (found.size > this.#known) this.#passes += 1;
    this.#known = found.size;
    if (this.#passes > MAX_PASSES) return endless();
    try {
      for (const { dependency, refreshMs } of found.values()) values.track(dependency, refreshMs);
      return undefined;
    } catch (error) {
      return toVouchsafeError(error);
    }
  }

  #recordDelivered(chosen: readonly ChosenFile[], changed: readonly string[]): void {
    const now = this.#parts.clock.monotonicMs();
    for (const item of chosen) {
      const { name, path } = item.file;
      const last = this.#kept.get(name);
      this.#kept.set(name, {
        ...item,
        deliveredAtMs: item.isHeldBack ? (last?.deliveredAtMs ?? now) : now,
        changedAtMs: changed.includes(path) ? now : (last?.changedAtMs ?? now),
        isStale: item.isHeldBack,
      });
    }
  }

  /** Leases that no file uses any more: those that newer values replaced, and those of values without a file. */
  #releasableLeases(
    chosen: readonly ChosenFile[],
    superseded: readonly Superseded[],
  ): readonly Superseded[] {
    const { values } = this.#parts;
    const keys = new Set(chosen.flatMap((item) => [...item.keys]));
    const heldKeys = new Set(chosen.flatMap((item) => (item.isHeldBack ? [...item.keys] : [])));
    const replaced = superseded.filter(({ key }) => !heldKeys.has(key));
    values.forget(replaced);
    return [...replaced, ...values.dropAllExcept(keys)];
  }

  #actions(changed: readonly string[]): readonly NotifyAction[] {
    if (changed.length === 0) return [];
    const { config } = this.#parts;
    const perFile = config.files.filter((file) => changed.includes(file.path));
    return [...perFile.flatMap((file) => file.onChange), ...config.onChange];
  }

  #log(changed: readonly string[], news: readonly string[]): void {
    const { config, logger } = this.#parts;
    const again = changed.filter((path) => !news.includes(path));
    if (again.length > 0)
      logger.warn('files differed from what was delivered; written again', { again });
    logger.info('files delivered', { changed, files: config.files.length });
  }

  #succeed(error: VouchsafeError | undefined): void {
    const { logger } = this.#parts;
    this.#backoff.reset();
    if (error !== undefined) {
      this.#fail(error);
      return;
    }
    if (this.#lastError !== undefined) logger.info('files are delivered again');
    this.#lastError = undefined;
  }

  #fail(error: VouchsafeError): void {
    this.#failures.add({ code: error.code });
    if (this.#lastError?.message !== error.message) {
      this.#parts.logger[error.level]('files were not delivered', { error });
    }
    this.#lastError = error;
    this.#parts.onFailure(error);
  }
}

function endless(): VouchsafeError {
  return new VouchsafeError(
    'ERR_TEMPLATE_LIMIT',
    `after ${MAX_PASSES} passes secrets are still missing; do the templates generate paths endlessly?`,
  );
}

function pathAndMode({ path, mode }: ChosenFile['file']): { path: string; mode: number } {
  return { path, mode };
}
