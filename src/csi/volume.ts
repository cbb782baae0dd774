/**
 * One published volume: its engine, with an identity, token, leases and schedule of its own.
 *
 * It is `starting` until every file has been written, then `published`; its start may have `failed` for good; it is
 * `ending` once its files are to go, and gone when what it holds is revoked.
 */
import type { AgentStatus, TemplatePort, WriterPort } from '../agent/index.ts';
import { parseAgentConfig, type AgentConfig } from '../config/index.ts';
import { hasCode, toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import {
  buildAgent,
  runWithBackground,
  type BuiltAgent,
  type Shared,
} from '../agent-runtime/index.ts';
import { raceAbort, createBackoff, type FairShares } from '../async/index.ts';
import { OrphanedLogins } from './orphaned-logins.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { Client, SentTemplate } from '../renderer/index.ts';
import type { DriverParts, RendererPort } from './ports.ts';
import type { VolumeSpec } from './publish-request.ts';
import type { KeptRecord } from './records.ts';
import { Strikes } from './strikes.ts';
import { TokenSource, type PodTokens } from './tokens.ts';
import { VolumeRoom } from './volume-room.ts';

/** Waits before an engine is made anew that could not be made, or ended by a defect. */
const ENGINE_WAITS = { minMs: 500, maxMs: 30_000 } as const;

/** How long an engine may take to stop; it is busy with nothing that could take longer. */
const STOP_TIMEOUT_MS = 5000;

/** Nobody in the pod is told: the settings that would ask for it are refused. */
const NO_NOTIFIER = { notify: () => Promise.resolve() };

/** What a {@link Volume} needs. */
export type VolumeParts = Pick<
  DriverParts,
  | 'maxDependencies'
  | 'maxValueBytes'
  | 'grants'
  | 'svids'
  | 'renderer'
  | 'clock'
  | 'random'
  | 'logger'
  | 'metrics'
> & {
  readonly shared: Shared;
  /** Logins under way, by namespace. */
  readonly logins: FairShares;
  readonly budget: MemoryBudget;
  /** Whether a volume is mounted at a place. */
  readonly isMounted: (target: string) => Promise<boolean>;
};

/** A volume that the driver is to keep. */
export class Volume {
  kept: KeptRecord;
  /** True once its files are to go. */
  isEnding = false;
  /** True while all files are there, the newest or the last good ones. */
  isFilled: boolean;
  /** How often the kubelet has asked for it, and when it did last (monotonic milliseconds). */
  publishCalls = 0;
  lastPublishMs: number;
  /** Whether there was an engine in this process. */
  hasStarted = false;
  readonly logger: Logger;
  readonly strikes: Strikes;
  readonly #parts: VolumeParts;
  readonly #tokens: TokenSource | undefined;
  readonly #client: Client;
  readonly #logins: OrphanedLogins;
  readonly #room: VolumeRoom;
  #delivered = newOutcome();
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  #built: BuiltAgent | undefined;
  #failure: VouchsafeError | undefined;
  /** When each file was last known to be right, as the last engine that has written them tells. */
  #goodAtMs: readonly (readonly [string, number])[] = [];
  /** Why there is no engine. */
  #lastError: VouchsafeError | undefined;

  constructor(kept: KeptRecord, parts: VolumeParts) {
    const { spec, tokenAudience } = kept.record;
    this.kept = kept;
    this.isFilled = kept.record.isPublished;
    this.#parts = parts;
    this.#logins = new OrphanedLogins({ logins: parts.logins, namespace: spec.pod.namespace });
    this.#room = new VolumeRoom(parts.budget, this, parts.maxValueBytes);
    this.lastPublishMs = parts.clock.monotonicMs();
    this.logger = parts.logger.child(logFieldsOf(spec));
    this.strikes = new Strikes(kept.directory, kept.strikes);
    this.#client = {
      tenant: spec.pod.namespace,
      onBegin: () => this.strikes.begin(),
      onEnd: () => this.strikes.end(),
    };
    this.#tokens = tokenAudience === null ? undefined : new TokenSource(tokenAudience, parts.clock);
  }

  get spec(): VolumeSpec {
    return this.kept.record.spec;
  }

  get namespace(): string {
    return this.spec.pod.namespace;
  }

  /** Why the start cannot succeed. */
  get failure(): VouchsafeError | undefined {
    return this.#failure;
  }

  /** What can be seen of the engine; undefined while there is none. */
  get status(): AgentStatus | undefined {
    return this.#built?.agent.status();
  }

  /** Seconds since a file was last known to be right, by its name; of the last engine that knew. */
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

  /** Tells whoever asks why the engine has not begun. */
  holdBack(error: VouchsafeError): void {
    this.#lastError = error;
    this.logger[error.level]('a volume is held back', { error });
  }

  /** Starts the engine; where a predecessor has left its state, it goes on from there. */
  begin(): void {
    this.hasStarted = true;
    this.#stop = new AbortController();
    this.#isRunning = true;
    this.#running = this.#run(this.#stop.signal).finally(() => void (this.#isRunning = false));
  }

  /** Resolves when no engine runs: after a stop, without a bound. */
  async stopped(): Promise<void> {
    await this.#running;
  }

  /** Starts the engine that has been stopped again, for a directory that has become empty. */
  refill(): void {
    this.isFilled = false;
    this.#delivered = newOutcome();
    this.begin();
  }

  /** Resolves when every file is there; rejects when that has become impossible, or when the volume ends. */
  delivered(signal: AbortSignal): Promise<void> {
    return raceAbort(this.#delivered.promise, signal);
  }

  /**
   * Stops the engine; what it holds stays valid. False where it has not ended in time: it writes nothing any more, and
   * no other one may have its directory and state before {@link stopped}.
   */
  async stop(): Promise<boolean> {
    this.#stop.abort(new VouchsafeError('ERR_CSI_ENDED', 'the volume is being unpublished'));
    await this.#within(this.#running);
    return !this.#isRunning;
  }

  /** Stops the engine for a successor. A login under way is waited for: nobody else would revoke what it is granted. */
  async stopForSuccessor(): Promise<void> {
    await this.stop();
    await this.#within(this.#logins.ended());
  }

  async #within(work: Promise<void>): Promise<void> {
    const enough = new AbortController();
    const limit = this.#parts.clock.sleep(STOP_TIMEOUT_MS, enough.signal).catch(() => undefined);
    await Promise.race([work, limit]);
    enough.abort();
  }

  /** Ends for good: whoever waits for the files is told. False as of {@link stop}. */
  async end(): Promise<boolean> {
    this.isEnding = true;
    const hasEnded = await this.stop();
    this.#delivered.reject(
      new VouchsafeError('ERR_CSI_ENDED', 'the volume was unpublished before its files were there'),
    );
    return hasEnded;
  }

  /**
   * Revokes what the engine, or that of a predecessor, held; true when nothing is left that another try could revoke.
   * One try, never rejects.
   */
  async release(): Promise<boolean> {
    if (this.#isRunning) return false; // it might still be granted something
    try {
      await this.#logins.ended();
      this.#built ??= await this.#build();
      return await this.#built.agent.revoke();
    } catch (error) {
      const isOver = isHopeless(error);
      const text = isOver ? 'what a volume held cannot be revoked' : 'a volume waits to be revoked';
      this.logger[isOver ? 'error' : 'warn'](text, { error });
      return isOver;
    }
  }

  /** Gives back what the engine borrowed. */
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

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#parts;
    const backoff = createBackoff({ ...ENGINE_WAITS, random });
    while (!signal.aborted) {
      const error = await this.#keep(signal);
      if (error === undefined) return;
      this.logger[error.level]('engine of a volume ended', { error });
      this.#lastError = error;
      if (!this.kept.record.isPublished && error.retry === 'never') {
        this.#failure = error;
        this.#delivered.reject(error);
        return;
      }
      // The files stay as they are meanwhile.
      await clock.sleep(backoff.nextMs(), signal).catch(() => undefined);
    }
  }

  /** Runs an engine to its end; gives the error, or undefined where it was stopped. */
  async #keep(signal: AbortSignal): Promise<VouchsafeError | undefined> {
    try {
      this.close();
      const built = await this.#build(signal);
      this.#built = built;
      const { agent } = built;
      const told = agent.delivered(signal).then(
        () => this.#filled(),
        () => undefined, // the engine ends with the same error
      );
      await runWithBackground(built, (inner) => agent.runUntilAborted(inner), signal);
      await told;
      return undefined;
    } catch (caught) {
      return signal.aborted ? undefined : toVouchsafeError(caught);
    }
  }

  #filled(): void {
    this.isFilled = true;
    this.#delivered.resolve(undefined);
  }

  /** Without a signal the engine is one that revokes, and needs no identity. */
  async #build(signal?: AbortSignal): Promise<BuiltAgent> {
    const { clock, random, metrics, shared, renderer } = this.#parts;
    const client = this.#client;
    const config = this.#config();
    const isNeeded = config.spiffe !== undefined && signal !== undefined;
    const svids = isNeeded ? await this.#parts.svids(this.spec.pod, signal) : undefined;
    return buildAgent(config, {
      ...{ clock, random, metrics, shared, logger: this.logger },
      ...{ notifier: NO_NOTIFIER, token: this.#tokens, svids, owner: this.namespace },
      room: this.#room,
      templates: templatesOf(renderer, client),
      opener: { open: (answer, inner) => renderer.open(answer, client, inner) },
      wrap: (parts) => ({
        ...parts,
        maxValues: this.#parts.maxDependencies,
        writer: this.#guarded(parts.writer, signal),
        vault: parts.vault && this.#logins.watch(parts.vault),
      }),
    });
  }

  /** Without its mount the target is a directory on the disk of the node, where no secret must come. */
  #guarded(writer: WriterPort, engine: AbortSignal | undefined): WriterPort {
    const { target } = this.spec;
    return {
      write: async (files, signal) => {
        engine?.throwIfAborted(); // the directory may be another one's by now
        if (await this.#parts.isMounted(target)) {
          return this.#parts.budget.within(this, files, () => writer.write(files, signal));
        }
        const text = `${target} is not mounted any more; nothing is written beside it`;
        throw new VouchsafeError('ERR_OUTPUT_IO', text);
      },
    };
  }

  #config(): AgentConfig {
    const { record, directory } = this.kept;
    const config = parseAgentConfig(record.document);
    return {
      ...config,
      grants: this.#parts.grants(this.spec.pod, config),
      outputDirectory: this.spec.target,
      stateDirectory: directory,
      // The kubelet asks again and again, and tells the pod's events why its files are not there.
      onMissingVault: 'wait',
      listen: undefined,
      terminationLog: undefined,
    };
  }
}

/** Texts go to whoever renders, as they are. */
function templatesOf(
  renderer: Pick<RendererPort, 'render'>,
  client: Client,
): TemplatePort<SentTemplate> {
  return {
    parseTemplate: (source, name) => ({ name, source }),
    formatTemplate: (format) => ({ name: `${format} format`, format }),
    renderTemplates: (jobs, values, signal) => renderer.render({ jobs, values }, client, signal),
  };
}

/** Settings that cannot be used stay as they are; a file that cannot be read, or the like, may be there again. */
function isHopeless(error: unknown): boolean {
  const isOurs = error instanceof VouchsafeError && !hasCode(error, 'ERR_CONFIG_UNREADABLE');
  return isOurs && error.retry === 'never';
}

/** A promise that rejects silently: it is told to whoever waits for it. */
function newOutcome(): PromiseWithResolvers<undefined> {
  const outcome = Promise.withResolvers<undefined>();
  outcome.promise.catch(() => undefined);
  return outcome;
}

/** How logs speak of a volume. */
export function logFieldsOf({ volumeId, pod }: VolumeSpec): Readonly<Record<string, string>> {
  return { volume: volumeId, namespace: pod.namespace, pod: pod.name };
}
