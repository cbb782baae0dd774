/**
 * From values to files: render, swap in, notify, and only then let the old credentials go.
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

/** Passes in a row that each find new dependencies; more is a template that makes paths without end. */
const MAX_PASSES = 100;

/**
 * How long a change waits for others under way. After a login all credentials are replaced: the application is
 * told once, not once for each.
 */
const SETTLE_MS = 2000;

/**
 * How often the delivered files are compared with what they should be: once per shortest `refresh`, within these
 * bounds. A volume that was gone, or somebody who meddled, tells nobody.
 */
const COMPARE_MS = { least: 10_000, most: 5 * 60_000 };

/** A file as it was last delivered. Times are of the monotonic clock. */
export interface DeliveredFile {
  readonly name: string;
  readonly path: string;
  /** When the file was last known to be right: its values were confirmed, and it holds them. */
  readonly knownGoodAtMs: number;
  /** The last change of its bytes. */
  readonly changedAtMs: number;
}

/** What {@link Delivery} needs. */
export interface DeliveryParts extends PostDeliveryOptions {
  readonly config: Pick<AgentConfig, 'files' | 'onChange'>;
  readonly fileSet: FileSet;
  readonly values: Values;
  readonly writer: WriterPort;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  /** Saves the state before files are swapped in, so that a killed agent never forgets a credential it used. */
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
  /** Dependencies that the last pass found and that have no value yet: no sense in rendering before. */
  #missing: readonly Dependency[] = [];
  #known = 0;
  #passes = 0;
  #wasDelivered: boolean;
  /** What was written last, by a predecessor at first. */
  #written: Digests;
  #lastError: VouchsafeError | undefined;

  /** `wasDelivered`: a predecessor has written the files, so a change of them is one to notify of. */
  constructor(parts: DeliveryParts, wasDelivered: boolean) {
    this.#parts = parts;
    this.#wasDelivered = wasDelivered;
    this.#postDelivery = new PostDelivery(parts);
    this.#written = new Map(parts.notifiedDigests);
    this.#backoff = createBackoff({ minMs: 500, maxMs: 60_000, random: parts.random });
    this.#failures = parts.metrics.counter(
      'vouchsafe_delivery_failures_total',
      'Sets not delivered, or not as a whole, by error code.',
      ['code'],
    );
  }

  /** Why the newest values are not in the files, while they are not. */
  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  /** Every file, once it has been delivered by this process. */
  get files(): readonly DeliveredFile[] {
    const { clock, values } = this.#parts;
    return [...this.#kept.values()].map(({ file, keys, deliveredAtMs, changedAtMs, isStale }) => {
      const confirmedAtMs = values.confirmedAtMs(keys) ?? clock.monotonicMs();
      const knownGoodAtMs = isStale ? Math.min(deliveredAtMs, confirmedAtMs) : confirmedAtMs;
      return { name: file.name, path: file.path, knownGoodAtMs, changedAtMs };
    });
  }

  /** Renders anew with other templates, which may need other values than those awaited. */
  templatesChanged(): void {
    this.#missing = [];
    this.#passes = 0;
    this.#parts.values.changes.set(undefined);
  }

  /** Follows the values until `signal` aborts; waits for notifications and releases under way. */
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
      if (this.#wasDelivered) await this.#parts.values.settled(SETTLE_MS, signal);
      await this.#deliver(signal);
    }
  }

  /** Delivers now and then what has not changed: the writer compares, and touches nothing that is right. */
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
      const isAnothers =
        error.code.startsWith('ERR_OUTPUT_') || hasCode(error, 'ERR_TEMPLATE_BUSY');
      if (isAnothers) await this.#again(error, signal);
    }
  }

  /**
   * Writing is tried again by itself, and so is rendering that had no turn; else it waits for other values or
   * templates.
   */
  async #again(error: VouchsafeError, signal: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(this.#backoff.nextMs(error.retryAfterMs), signal);
    this.#parts.values.changes.set(undefined);
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { values, fileSet, writer } = this.#parts;
    this.#missing = this.#missing.filter((dependency) => values.lookup(dependency) === undefined);
    if (this.#missing.length > 0) return;
    // Taken before rendering: what is superseded from here on may be in the set that is about to be written.
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
    const actions = this.#wasDelivered ? this.#actions(news) : [];
    this.#wasDelivered = true;
    this.#parts.onDelivered();
    this.#postDelivery.start({ digests, actions, dropped }, signal);
  }

  /** Asks for everything that was found; gives the error of having found too much. */
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

  /** What no file uses any more: leases that newer values have replaced, and those of values that nobody asks for. */
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
    if (again.length > 0) logger.warn('files were not as delivered: written again', { again });
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
    `after ${MAX_PASSES} passes secrets are still missing; do the templates make paths without end?`,
  );
}

function pathAndMode({ path, mode }: ChosenFile['file']): { path: string; mode: number } {
  return { path, mode };
}
