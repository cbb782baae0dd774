/**
 * One published volume: its engine, with an identity, token, leases and schedule of its own.
 *
 * What it does next is decided by `transition` of volume-state.ts; this class runs engines and lets calls wait.
 */
import type { AgentStatus } from '../agent/index.ts';
import { runWithBackground, type BuiltAgent } from '../agent-runtime/index.ts';
import { NEVER_ABORTED, raceAbort, createBackoff, DEADLINE, withDeadline } from '../async/index.ts';
import { hasCode, toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import { FileAges } from './file-ages.ts';
import { OrphanedLogins } from './orphaned-logins.ts';
import type { VolumeSpec } from './publish-request.ts';
import type { StoredRecord } from './records.ts';
import { Strikes } from './strikes.ts';
import { TokenSource, type PodTokens } from './service-account-tokens.ts';
import { buildEngine, type EngineOptions, type VolumeParts } from './volume-engine.ts';
import {
  hasEngine,
  hasFiles,
  initialState,
  transition,
  type VolumeEffect,
  type VolumeEvent,
  type VolumeState,
} from './volume-state.ts';

export type { VolumeParts } from './volume-engine.ts';

/** Waits before an engine is built again after it failed. */
const ENGINE_RETRY = { minMs: 500, maxMs: 30_000 } as const;

/** A volume of this node. */
export class Volume {
  readonly logger: Logger;
  readonly strikes: Strikes;
  readonly #parts: VolumeParts;
  readonly #tokens: TokenSource | undefined;
  readonly #logins: OrphanedLogins;
  readonly #ages: FileAges;
  #stored: StoredRecord;
  #state: VolumeState;
  /** What calls wait for: every file, since the volume was mounted last. */
  #delivered = newOutcome();
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #built: BuiltAgent | undefined;

  constructor(stored: StoredRecord, parts: VolumeParts) {
    const { spec, tokenAudience, isPublished } = stored.record;
    const { clock } = parts;
    this.#stored = stored;
    this.#state = initialState(isPublished, clock.monotonicMs());
    this.#parts = parts;
    this.#logins = new OrphanedLogins({ logins: parts.logins, namespace: spec.pod.namespace });
    this.#ages = new FileAges(clock);
    this.logger = parts.logger.child(logFieldsOf(spec));
    this.strikes = new Strikes(stored.directory, stored.strikes);
    this.#tokens = tokenAudience === null ? undefined : new TokenSource(tokenAudience, clock);
  }

  get state(): VolumeState {
    return this.#state;
  }

  get stored(): StoredRecord {
    return this.#stored;
  }

  get spec(): VolumeSpec {
    return this.stored.record.spec;
  }

  get namespace(): string {
    return this.spec.pod.namespace;
  }

  /** Status of the engine; undefined while there is none. */
  get status(): AgentStatus | undefined {
    return this.#built?.agent.status();
  }

  /** File name and seconds since the file was last known to be up to date; by the last engine that knew. */
  get fileAges(): readonly (readonly [string, number])[] {
    if (!hasFiles(this.#state)) return [];
    this.#ages.note(this.status?.files ?? []);
    return this.#ages.list();
  }

  /** Why the newest values are not in the files. */
  get problem(): { readonly code: string; readonly message: string } | undefined {
    const problem = this.#built === undefined ? this.#state.lastError : this.status?.errors[0];
    return problem ?? this.#tokens?.problem;
  }

  /** Notes that the kubelet has called to publish it. */
  called(): void {
    this.#apply({ kind: 'called' });
  }

  /** Takes newer tokens of the kubelet. */
  takeTokens(tokens: PodTokens | undefined): void {
    if (tokens !== undefined) this.#tokens?.set(tokens);
  }

  /** Takes the record that was saved in place of {@link stored}. */
  saved(stored: StoredRecord): void {
    this.#stored = stored;
    if (stored.record.isPublished) this.#apply({ kind: 'recorded' });
  }

  /** Reports why the engine has not started yet: in the log, and as the {@link problem}. */
  reportDelay(error: VouchsafeError): void {
    this.#apply({ kind: 'delayed', error });
    this.logger[error.level]('the start of a volume is delayed', { error });
  }

  /** Starts the first engine; it continues from the state of a predecessor if there is one. */
  start(): void {
    this.#apply({ kind: 'start' });
  }

  /** Resolves when no engine runs, however long that takes after a {@link stop}. */
  async stopped(): Promise<void> {
    await this.#running;
  }

  /** Starts the stopped engine again, for a directory that has become empty. */
  refill(): void {
    this.#apply({ kind: 'remounted' });
  }

  /** Resolves when every file is there; rejects when the start has failed for good, or when the volume ends. */
  delivered(signal: AbortSignal): Promise<void> {
    return raceAbort(this.#delivered.promise, signal);
  }

  /**
   * Stops the engine, before the volume is mounted again; what the engine holds stays valid. False if it has not ended in
   * time: it writes nothing any more, but no other engine may use its directory and state before {@link stopped}.
   */
  async stop(): Promise<boolean> {
    this.#apply({ kind: 'unmounted' });
    return this.#hasStopped();
  }

  /** Stops the engine for a successor. Waits for a login in flight, because nothing else would revoke its token. */
  async stopForSuccessor(): Promise<void> {
    this.#apply({ kind: 'suspend' });
    await this.#hasStopped();
    await this.#waitBriefly(this.#logins.ended());
  }

  async #hasStopped(): Promise<boolean> {
    await this.#waitBriefly(this.#running);
    return !hasEngine(this.#state);
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
    this.#apply({ kind: 'end' });
    const hasStopped = await this.#hasStopped();
    this.#delivered.reject(
      new VouchsafeError('ERR_CSI_ENDED', 'the volume was unpublished before its files were ready'),
    );
    return hasStopped;
  }

  /**
   * Revokes what the engine, or that of a predecessor, held. One try; never rejects. True when nothing is left that
   * another try could revoke.
   */
  async release(): Promise<boolean> {
    if (hasEngine(this.#state)) return false; // it may still obtain something
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
    this.#ages.note(this.status?.files ?? []);
    this.#built?.close();
    this.#built = undefined;
  }

  #apply(event: VolumeEvent): void {
    const { state, effects } = transition(this.#state, event, this.#parts.clock.monotonicMs());
    this.#state = state;
    for (const effect of effects) this.#execute(effect);
  }

  #execute(effect: VolumeEffect): void {
    switch (effect) {
      case 'start-engine':
        this.#stop = new AbortController();
        this.#running = this.#runEngines(this.#stop.signal).finally(() =>
          this.#apply({ kind: 'engine-ended' }),
        );
        return;
      case 'stop-engine':
        this.#stop.abort(new VouchsafeError('ERR_CSI_ENDED', 'the volume is being unpublished'));
        return;
      case 'await-files':
        this.#delivered = newOutcome();
        return;
      case 'report-filled':
        this.#delivered.resolve(undefined);
        return;
      case 'report-failed':
        this.#delivered.reject(this.#state.lastError);
    }
  }

  /** Runs one engine after the other until `signal` aborts, or until the start has failed for good. */
  async #runEngines(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#parts;
    const backoff = createBackoff({ ...ENGINE_RETRY, random });
    while (!signal.aborted) {
      const error = await this.#runEngine(signal);
      if (error === undefined) return;
      this.logger[error.level]('engine of a volume ended', { error });
      this.#apply({ kind: 'engine-failed', error });
      if (!hasEngine(this.#state)) return;
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
        () => this.#apply({ kind: 'delivered' }),
        () => undefined, // the engine ends with the same error
      );
      await runWithBackground(built, (inner) => agent.runUntilAborted(inner), signal);
      await filled;
      throw new Error('the engine of a volume ended by itself');
    } catch (caught) {
      return signal.aborted ? undefined : toVouchsafeError(caught);
    }
  }

  #build(signal?: AbortSignal): Promise<BuiltAgent> {
    const client = {
      tenant: this.namespace,
      onBegin: () => this.strikes.renderingStarted(),
      onEnd: () => this.strikes.renderingEnded(),
    };
    const options: EngineOptions = {
      stored: this.#stored,
      parts: this.#parts,
      logger: this.logger,
      owner: this,
      client,
      tokens: this.#tokens,
      logins: this.#logins,
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
