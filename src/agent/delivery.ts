/**
 * From values to files: render, swap in, notify, and only then revoke the old credentials.
 */
import {
  toVouchsafeError,
  type Clock,
  type Counter,
  type Dependency,
  type Metrics,
  type Random,
  type VouchsafeError,
} from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import { createBackoff, runAll, type Backoff } from '../async/index.ts';
import { digestsOf, changedPaths, type Digests } from './changed-files.ts';
import {
  countPass,
  decideDelivery,
  dependenciesOf,
  endlessError,
  isRetriedLater,
  NO_PASSES,
  stateAfter,
  type Decision,
  type DeliveryState,
} from './decide-delivery.ts';
import {
  actionsFor,
  deliveredFiles,
  recordFailed,
  recordWritten,
  replacedLeases,
  usedKeys,
  type DeliveredFile,
  type DeliveredSet,
} from './delivered-set.ts';
import type { EnvContainers } from './env-containers.ts';
import { envRestartFor, variableEnds, type VariableEnds } from './env-restarts.ts';
import type { FileSet, RenderedFile } from './file-set.ts';
import type { WriterPort } from './ports.ts';
import { PostDelivery, type PostDeliveryOptions } from './post-delivery.ts';
import type { Superseded, Values } from './values.ts';

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

export interface DeliveryParts extends PostDeliveryOptions {
  readonly config: Pick<AgentConfig, 'files' | 'env' | 'onChange'>;
  readonly envContainers?: EnvContainers | undefined;
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

/** Delivers the set each time a value changes. */
export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #backoff: Backoff;
  readonly #failures: Counter;
  readonly #postDelivery: PostDelivery;
  /** Dependencies of the last pass that have no value yet; nothing is rendered before they have. */
  #missing: readonly Dependency[] = [];
  #passes = NO_PASSES;
  #kept: DeliveredSet = new Map();
  #state: DeliveryState;
  #ends: VariableEnds = new Map();
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

  /** Why the newest values are not in the files; undefined when they are. */
  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  /** The files that this process has delivered. */
  get files(): readonly DeliveredFile[] {
    const { clock, values } = this.#parts;
    return deliveredFiles(this.#kept, (keys) => values.confirmedAtMs(keys), clock.monotonicMs());
  }

  /** Renders again with the new templates, which may need other values. */
  templatesChanged(): void {
    this.#missing = [];
    this.#passes = { ...this.#passes, growing: 0 };
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
      this.#kept = recordFailed(this.#kept);
      this.#fail(error);
      if (isRetriedLater(error)) await this.#retryLater(error, signal);
    }
  }

  async #retryLater(error: VouchsafeError, signal: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(this.#backoff.nextMs(error.retryAfterMs), signal);
    this.#parts.values.changes.set(undefined);
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { values, fileSet } = this.#parts;
    this.#missing = this.#missing.filter((dependency) => values.lookup(dependency) === undefined);
    if (this.#missing.length > 0) return;
    // Read before rendering: a lease that is superseded from here on may be in the set that is about to be written.
    const superseded = values.superseded;
    const rendered = await fileSet.render((login) => values.known(login), signal);
    const limit = this.#track(rendered);
    const decision = decideDelivery({ rendered, kept: this.#kept, limit });
    switch (decision.kind) {
      case 'wait':
        this.#missing = decision.missing;
        return;
      case 'fail':
        throw decision.error;
      case 'write':
        await this.#write(decision, superseded, signal);
    }
  }

  async #write(
    { chosen, error, kind }: Extract<Decision, { readonly kind: 'write' }>,
    superseded: readonly Superseded[],
    signal: AbortSignal,
  ): Promise<void> {
    const { config, values, writer, clock, random, envContainers } = this.#parts;
    this.#parts.beforeWrite();
    const files = chosen.flatMap(({ file: { path, mode }, content, digest }) =>
      content === 'no file' ? [] : [{ path, mode, content, digest }],
    );
    const { changed, swapped, version } = await writer.write(files, signal);
    envContainers?.written(version);
    const digests = digestsOf(files);
    const news = changedPaths(digests, { before: this.#written, changed });
    this.#written = digests;
    this.#kept = recordWritten(this.#kept, chosen, { changed, nowMs: clock.monotonicMs() });
    const replaced = replacedLeases(chosen, superseded);
    values.forget(replaced);
    // Leases that no file uses any more: newer values replaced them, or no file needs their values.
    const unused = [...replaced, ...values.dropAllExcept(usedKeys(chosen))];
    if (swapped) this.#log(changed, news, files.length);
    this.#succeed(error);
    const actions = actionsFor(config, news, this.#state);
    const ends = { before: this.#ends, after: variableEnds(chosen, values.entries) };
    const nowMs = clock.monotonicMs();
    const restart = envRestartFor({ config, news, state: this.#state, ends, nowMs, random });
    this.#ends = ends.after;
    this.#state = stateAfter(this.#state, kind);
    this.#parts.onDelivered();
    const dropped = unused.map(({ lease }) => lease);
    this.#postDelivery.start({ digests, actions, restart, dropped }, signal);
  }

  /** Tracks all dependencies that were found; returns an error if there are too many. */
  #track(rendered: readonly RenderedFile[]): VouchsafeError | undefined {
    const { values } = this.#parts;
    const found = dependenciesOf(rendered);
    const isMissing = rendered.some(({ missing }) => missing.length > 0);
    this.#passes = countPass(this.#passes, { known: found.size, isMissing });
    const endless = endlessError(this.#passes);
    if (endless !== undefined) return endless;
    try {
      for (const { dependency, refreshMs, isRepeated } of found.values()) {
        values.track(dependency, refreshMs, isRepeated);
      }
      return undefined;
    } catch (error) {
      return toVouchsafeError(error);
    }
  }

  #log(changed: readonly string[], news: readonly string[], files: number): void {
    const { logger } = this.#parts;
    const again = changed.filter((path) => !news.includes(path));
    if (again.length > 0)
      logger.warn('files differed from what was delivered; written again', { again });
    logger.info('files delivered', { changed, files });
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
