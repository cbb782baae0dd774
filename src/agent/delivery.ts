/**
 * From values to files: render, swap in, notify, and only then let the old credentials go. Ring: agent.
 */
import {
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Dependency,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import type { AgentConfig, NotifyAction } from '../config/index.ts';
import { createBackoff, type Backoff } from '../lifecycle/index.ts';
import type { FileSet } from './file-set.ts';
import type { NotifierPort, WriterPort } from './ports.ts';
import type { Releaser } from './release.ts';
import type { Values } from './values.ts';

/** Passes in a row that each find new dependencies; more is a template that makes paths without end. */
const MAX_PASSES = 100;

/** A file as it was last delivered. */
export interface DeliveredFile {
  readonly name: string;
  readonly path: string;
  /** Wall time of the last successful delivery, whether the bytes changed or not. */
  readonly deliveredAtMs: number;
  /** Wall time of the last change of its bytes. */
  readonly changedAtMs: number;
}

/** What {@link Delivery} needs. */
export interface DeliveryParts {
  readonly config: Pick<AgentConfig, 'files' | 'onChange'>;
  readonly fileSet: FileSet;
  readonly values: Values;
  readonly writer: WriterPort;
  readonly notifier: NotifierPort;
  readonly releaser: Releaser;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Saves the state before files are swapped in, so that a killed agent never forgets a credential it used. */
  readonly beforeWrite: () => Promise<void>;
  /** Called after each delivery. */
  readonly onDelivered: () => void;
  /** Called with each failure. */
  readonly onFailure: (error: VouchsafeError) => void;
}

/** Delivers the set each time a value changes. */
export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #backoff: Backoff;
  readonly #files = new Map<string, DeliveredFile>();
  readonly #background = new Set<Promise<void>>();
  /** Dependencies that the last pass found and that have no value yet: no sense in rendering before. */
  #awaited: readonly Dependency[] = [];
  #known = 0;
  #passes = 0;
  #isDelivered: boolean;
  #lastError: VouchsafeError | undefined;

  /** `wasDelivered`: a predecessor has written the files, so a change of them is one to notify of. */
  constructor(parts: DeliveryParts, wasDelivered: boolean) {
    this.#parts = parts;
    this.#isDelivered = wasDelivered;
    this.#backoff = createBackoff({ minMs: 500, maxMs: 60_000, random: parts.random });
  }

  /** Why the newest values are not in the files, while they are not. */
  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  /** Every file, once it has been delivered by this process. */
  get files(): readonly DeliveredFile[] {
    return [...this.#files.values()];
  }

  /** Follows the values until `signal` aborts; waits for notifications and releases under way. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      this.#parts.values.changes.set(undefined);
      for await (const _ of this.#parts.values.changes.updates(signal)) await this.#deliver(signal);
    } finally {
      await Promise.allSettled(this.#background);
    }
  }

  async #deliver(signal: AbortSignal): Promise<void> {
    try {
      await this.#attempt(signal);
    } catch (caught) {
      signal.throwIfAborted();
      const error = toVouchsafeError(caught);
      this.#fail(error);
      if (error.code.startsWith('ERR_OUTPUT_')) await this.#again(error, signal);
    }
  }

  /** Writing is tried again by itself; rendering waits for other values or templates. */
  async #again(error: VouchsafeError, signal: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(this.#backoff.nextMs(error.retryAfterMs), signal);
    this.#parts.values.changes.set(undefined);
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { values, fileSet, writer } = this.#parts;
    this.#awaited = this.#awaited.filter((dependency) => values.lookup(dependency) === undefined);
    if (this.#awaited.length > 0) return;
    // Taken before rendering: what is superseded from here on may be in the set that is about to be written.
    const superseded = values.superseded;
    const { files, used, missing } = fileSet.render((dependency) => values.lookup(dependency));
    for (const { dependency, refreshMs } of used.values()) values.require(dependency, refreshMs);
    if (files === undefined) {
      this.#awaited = missing;
      this.#countPass(used.size);
      return;
    }
    this.#passes = 0;
    await this.#parts.beforeWrite();
    const { changed, swapped } = await writer.write(files, signal);
    values.forget(superseded);
    values.retain(new Set(used.keys()));
    this.#succeed(changed, swapped);
    const actions = this.#isDelivered ? this.#actions(changed) : [];
    this.#isDelivered = true;
    this.#parts.onDelivered();
    this.#inBackground(async () => {
      await this.#parts.notifier.notify(actions, signal);
      await this.#parts.releaser.release(superseded, signal);
    });
  }

  #countPass(used: number): void {
    this.#passes += used > this.#known ? 1 : 0;
    this.#known = used;
    if (this.#passes <= MAX_PASSES) return;
    throw new VouchsafeError(
      'ERR_TEMPLATE_LIMIT',
      `after ${MAX_PASSES} passes secrets are still missing; do the templates make paths without end?`,
    );
  }

  #actions(changed: readonly string[]): readonly NotifyAction[] {
    if (changed.length === 0) return [];
    const { config } = this.#parts;
    const perFile = config.files.filter((file) => changed.includes(file.path));
    return [...perFile.flatMap((file) => file.onChange), ...config.onChange];
  }

  #succeed(changed: readonly string[], swapped: boolean): void {
    const { config, clock, logger } = this.#parts;
    const now = clock.now();
    for (const { name, path } of config.files) {
      const changedAtMs = changed.includes(path)
        ? now
        : (this.#files.get(name)?.changedAtMs ?? now);
      this.#files.set(name, { name, path, deliveredAtMs: now, changedAtMs });
    }
    this.#backoff.reset();
    if (swapped) logger.info('files delivered', { changed, files: config.files.length });
    if (this.#lastError !== undefined) logger.info('files are delivered again');
    this.#lastError = undefined;
  }

  #fail(error: VouchsafeError): void {
    const { logger, metrics } = this.#parts;
    metrics
      .counter('vouchsafe_delivery_failures_total', 'Sets not delivered, by error code.', ['code'])
      .add({ code: error.code });
    if (this.#lastError?.message !== error.message) {
      logger[error.level]('files were not delivered', { error });
    }
    this.#lastError = error;
    this.#parts.onFailure(error);
  }

  #inBackground(work: () => Promise<void>): void {
    const { logger } = this.#parts;
    const done: Promise<void> = work()
      .catch((error: unknown) => {
        // Aborting is the only way these end early; anything else is a defect and worth a line.
        if (error instanceof VouchsafeError) logger.warn('after delivery', { error });
      })
      .finally(() => this.#background.delete(done));
    this.#background.add(done);
  }
}
