/**
 * One published volume: its engine, with an identity, token, leases and schedule of its own.
 *
 * It is `starting` until every file has been written, then `published`; its start may have `failed` for good; it is
 * `ending` while its files are removed, and gone when what it held is revoked.
 */
import type { AgentStatus } from '../agent/index.ts';
import { runWithBackground, type BuiltAgent } from '../agent-runtime/index.ts';
import { NEVER_ABORTED, raceAbort, createBackoff, DEADLINE, withDeadline } from '../async/index.ts';
import { hasCode, toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import { OrphanedLogins } from './orphaned-logins.ts';
import type { VolumeSpec } from './publish-request.ts';
import type { StoredRecord } from './records.ts';
import { Strikes } from './strikes.ts';
import { TokenSource, type PodTokens } from './service-account-tokens.ts';
import { buildEngine, type EngineOptions, type VolumeParts } from './volume-engine.ts';

export type { VolumeParts } from './volume-engine.ts';

/** Waits before an engine is built again after it failed. */
const ENGINE_RETRY = { minMs: 500, maxMs: 30_000 } as const;

/** A volume of this node. */
export class Volume {
  stored: StoredRecord;
  /** True once its files are being removed. */
  isEnding = false;
  /** True while all files are there, the newest or the last good ones. */
  isFilled: boolean;
  /** How many publish calls there were for it. */
  publishCalls = 0;
  /** When the last publish call came, in monotonic milliseconds. */
  lastPublishMs: number;
  /** Whether an engine was started in this process. */
  hasStarted = false;
  readonly logger: Logger;
  readonly strikes: Strikes;
  readonly #parts: VolumeParts;
  readonly #tokens: TokenSource | undefined;
  readonly #logins: OrphanedLogins;
  #delivered = newOutcome();
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  #built: BuiltAgent | undefined;
  #failure: VouchsafeError | undefined;
  /** File name and when it was last known to be up to date, by the last engine that has written it. */
  #goodAtMs: readonly (readonly [string, number])[] = [];
  /** Why there is no engine. */
  #lastError: VouchsafeError | undefined;

  constructor(stored: StoredRecord, parts: VolumeParts) {
    const { spec, tokenAudience } = stored.record;
    this.stored = stored;
    this.isFilled = stored.record.isPublished;
    this.#parts = parts;
    this.#logins = new OrphanedLogins({ logins: parts.logins, namespace: spec.pod.namespace });
    this.lastPublishMs = parts.clock.monotonicMs();
    this.logger = parts.logger.child(logFieldsOf(spec));
    this.strikes = new Strikes(stored.directory, stored.strikes);
    this.#tokens = tokenAudience === null ? undefined : new TokenSource(tokenAudience, parts.clock);
  }

  get spec(): VolumeSpec {
    return this.stored.record.spec;
  }

  get namespace(): string {
    return this.spec.pod.namespace;
  }

  /** Why the start cannot succeed. */
  get failure(): VouchsafeError | undefined {
    return this.#failure;
  }

  /** Status of the engine; undefined while there is none. */
  get status(): AgentStatus | undefined {
    return this.#built?.agent.status();
  }

  /** File name and seconds since the file was last known to be up to date; by the last engine that knew. */
  get fileAges(): readonly (readonly [string, number])[] {
    if (!this.isFilled) return [];
    this.#noteFiles();
    const nowMs = this.#parts.clock.monotonicMs();
    return this.#goodAtMs.map(([name, atMs]) => [name, (nowMs - atMs) / 1000]);
  }

  /** Why the newest values are not in the files. */
  get problem(): { readonly code: string; readonly message: string } | undefined {
    const problem = this.#built === undefined ? this.#lastError : this.status?.errors[0];
    return problem ?? this.#tokens?.problem;
  }

  /** Takes newer tokens of the kubelet. */
  takeTokens(tokens: PodTokens | undefined): void {
    if (tokens !== undefined) this.#tokens?.set(tokens);
  }

  /** Reports why the engine has not started yet: in the log, and as the {@link problem}. */
  reportDelay(error: VouchsafeError): void {
    this.#lastError = error;
    this.logger[error.level]('the start of a volume is delayed', { error });
  }

  /** Starts the engine; it continues from the state of a predecessor if there is one. */
  start(): void {
    this.hasStarted = true;
    this.#stop = new AbortController();
    this.#isRunning = true;
    this.#running = this.#runEngines(this.#stop.signal).finally(
      () => void (this.#isRunning = false),
    );
  }

  /** Resolves when no engine runs, however long that takes after a {@link stop}. */
  async stopped(): Promise<void> {
    await this.#running;
  }

  /** Starts the stopped engine again, for a directory that has become empty. */
  refill(): void {
    this.isFilled = false;
    this.#delivered = newOutcome();
    this.start();
  }

  /** Resolves when every file is there; rejects when the start has failed for good, or when the volume ends. */
  delivered(signal: AbortSignal): Promise<void> {
    return raceAbort(this.#delivered.promise, signal);
  }

  /**
   * Stops the engine; what it holds stays valid. False if it has not ended in time: it writes nothing any more, but no
   * other engine may use its directory and state before {@link stopped}.
   */
  async stop(): Promise<boolean> {
    this.#stop.abort(new VouchsafeError('ERR_CSI_ENDED', 'the volume is being unpublished'));
    await this.#waitBriefly(this.#running);
    return !this.#isRunning;
  }

  /** Stops the engine for a successor. Waits for a login in flight, because nothing else would revoke its token. */
  async stopForSuccessor(): Promise<void> {
    await this.stop();
    await this.#waitBriefly(this.#logins.ended());
  }

  async #waitBriefly(work: Promise<void>): Promise<void> {
    const { clock, waits } = this.#parts;
    const options = { clock, ms: waits.stopMs, signal: NEVER_ABORTED };
    await withDeadline(options, () => work).catch((error: unknown) => {
      if (error !== DEADLINE) throw error;
    });
  }

  /** Stops for good; calls that wait for the files end. False as for {@link stop}. */
  async end(): Promise<boolean> {
    this.isEnding = true;
    const hasEnded = await this.stop();
    this.#delivered.reject(
      new VouchsafeError('ERR_CSI_ENDED', 'the volume was unpublished before its files were ready'),
    );
    return hasEnded;
  }

  /**
   * Revokes what the engine, or that of a predecessor, held. One try; never rejects. True when nothing is left that
   * another try could revoke.
   */
  async release(): Promise<boolean> {
    if (this.#isRunning) return false; // it may still obtain something
    try {
      await this.#logins.ended();
      this.#built ??= await this.#build();
      return await this.#built.agent.revoke();
    } catch (error) {
      const isOver = isHopeless(error);
      const text = isOver
        ? 'token and leases of a volume cannot be revoked'
        : 'token and leases of a volume are not revoked yet';
      this.logger[isOver ? 'error' : 'warn'](text, { error });
      return isOver;
    }
  }

  /** Frees the connections of the engine. */
  close(): void {
    this.#noteFiles();
    this.#built?.close();
    this.#built = undefined;
  }

  #noteFiles(): void {
    const files = this.status?.files ?? [];
    if (files.length === 0) return;
    const nowMs = this.#parts.clock.monotonicMs();
    this.#goodAtMs = files.map(({ name, age_seconds }) => [name, nowMs - age_seconds * 1000]);
  }

  /** Runs one engine after the other until `signal` aborts, or until the start has failed for good. */
  async #runEngines(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#parts;
    const backoff = createBackoff({ ...ENGINE_RETRY, random });
    while (!signal.aborted) {
      const error = await this.#runEngine(signal);
      if (error === undefined) return;
      this.logger[error.level]('engine of a volume ended', { error });
      this.#lastError = error;
      // A pod may have started with files that are there, whether or not the record says so yet.
      if (!this.isFilled && !this.stored.record.isPublished && error.retry === 'never') {
        this.#failure = error;
        this.#delivered.reject(error);
        return;
      }
      // The files stay as they are meanwhile.
      await clock.sleep(backoff.nextMs(), signal).catch(() => undefined);
    }
  }

  /** Runs an engine to its end; returns its error, or undefined if it was stopped. */
  async #runEngine(signal: AbortSignal): Promise<VouchsafeError | undefined> {
    try {
      this.close();
      const built = await this.#build(signal);
      this.#built = built;
      const { agent } = built;
      const filled = agent.delivered(signal).then(
        () => this.#filled(),
        () => undefined, // the engine ends with the same error
      );
      await runWithBackground(built, (inner) => agent.runUntilAborted(inner), signal);
      await filled;
      return undefined;
    } catch (caught) {
      return signal.aborted ? undefined : toVouchsafeError(caught);
    }
  }

  #filled(): void {
    this.isFilled = true;
    this.#delivered.resolve(undefined);
  }

  #build(signal?: AbortSignal): Promise<BuiltAgent> {
    const client = {
      tenant: this.namespace,
      onBegin: () => this.strikes.renderingStarted(),
      onEnd: () => this.strikes.renderingEnded(),
    };
    const options: EngineOptions = {
      ...{ stored: this.stored, parts: this.#parts, logger: this.logger },
      ...{ owner: this, client, tokens: this.#tokens, logins: this.#logins },
    };
    return buildEngine(options, signal);
  }
}

/** An unusable configuration stays unusable; a file that could not be read may be back at the next try. */
function isHopeless(error: unknown): boolean {
  const isOurs = error instanceof VouchsafeError && !hasCode(error, 'ERR_CONFIG_UNREADABLE');
  return isOurs && error.retry === 'never';
}

/** A promise whose rejection is not unhandled: the calls that wait for it report it. */
function newOutcome(): PromiseWithResolvers<undefined> {
  const outcome = Promise.withResolvers<undefined>();
  outcome.promise.catch(() => undefined);
  return outcome;
}

/** The fields that identify a volume in the log. */
export function logFieldsOf({ volumeId, pod }: VolumeSpec): Readonly<Record<string, string>> {
  return { volume: volumeId, namespace: pod.namespace, pod: pod.name };
}
