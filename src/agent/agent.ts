/**
 * Joins the steps: identity -> login -> read -> render -> write -> notify, for as long as the pod lives.
 * It knows its parts by the small interfaces of `ports.ts` alone.
 */
import {
  NO_LOGGER,
  NO_METRICS,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import { raceAbort, Latest, runAll, type Task } from '../async/index.ts';
import { Delivery } from './delivery.ts';
import { createFileSet, type FileSet } from './file-set.ts';
import { followX509, needsX509 } from './follow-x509.ts';
import { Handover, type FilesState } from './handover.ts';
import { linger } from './linger.ts';
import { loginOnce } from './login.ts';
import { createObtainer } from './obtain.ts';
import { MountedTemplates } from './mounted-templates.ts';
import type {
  FilesPort,
  IdentityPort,
  NotifierPort,
  TemplatePort,
  TokenPort,
  ValuesRoom,
  VaultPort,
  WriterPort,
} from './ports.ts';
import { createRevoker, NO_REVOKER, type CredentialRevoker } from './credential-revoker.ts';
import { Sessions } from './sessions.ts';
import { guardStart } from './start-guard.ts';
import type { StateFile } from './state-file.ts';
import { agentStatus, type AgentPhase, type AgentStatus } from './status.ts';
import { Values } from './values.ts';

/** The parts of an agent. */
export interface AgentParts<T> {
  readonly config: AgentConfig;
  /** Undefined where the config has no Vault. */
  readonly vault: VaultPort | undefined;
  /** Undefined where the config has no Workload API. */
  readonly identity: IdentityPort | undefined;
  readonly templates: TemplatePort<T>;
  readonly writer: WriterPort;
  readonly notifier: NotifierPort;
  readonly files: FilesPort;
  /** Gives the service-account token, where that is not in the file that the config names. */
  readonly token?: TokenPort | undefined;
  /** Most that the files may depend on. Default: 10 000. */
  readonly maxValues?: number | undefined;
  /** Time for all revocations at the end, in milliseconds. Default: 5 s. */
  readonly revokeAllMs?: number | undefined;
  /** Where values are counted. Default: nowhere. */
  readonly room?: ValuesRoom | undefined;
  /** Undefined keeps nothing for a successor. */
  readonly stateFile: StateFile | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** One workload's engine. */
export class Agent<T> {
  readonly #parts: AgentParts<T>;
  readonly #logger: Logger;
  readonly #fileSet: FileSet;
  readonly #templates: MountedTemplates;
  readonly #sessions: Sessions | undefined;
  readonly #values: Values;
  readonly #revoker: CredentialRevoker;
  readonly #handover: Handover;
  readonly #firstDelivery = Promise.withResolvers<undefined>();
  readonly #stateChanges = new Latest<undefined>();
  readonly #notifiedDigests = new Map<string, string>();
  #delivery: Delivery | undefined;
  #isDelivered = false;
  /** The files as a predecessor left them. */
  #predecessorFiles: FilesState = 'none';
  #phase: AgentPhase = 'starting';
  /** True from the moment from which a successor must take nothing for good. */
  #isEnding = false;

  /** @throws VouchsafeError `ERR_TEMPLATE_*` for a template that can never be rendered. */
  constructor(parts: AgentParts<T>) {
    const { config, clock, random, vault } = parts;
    const logger = parts.logger ?? NO_LOGGER;
    const metrics = parts.metrics ?? NO_METRICS;
    const onChange = (): void => this.#stateChanges.set(undefined);
    this.#parts = parts;
    this.#logger = logger;
    this.#firstDelivery.promise.catch(() => undefined); // told to whoever waits for it
    this.#fileSet = createFileSet(config, parts.templates, parts.files);
    const onFailure = (error: VouchsafeError): void => this.#failed(error);
    this.#templates = new MountedTemplates({
      ...{ fileSet: this.#fileSet, files: parts.files, logger, onFailure },
      onChange: () => this.#delivery?.templatesChanged(),
    });
    const { auth, grants } = config;
    if (vault !== undefined && auth !== undefined) {
      const login = (signal: AbortSignal) => loginOnce({ ...parts, auth, vault, grants }, signal);
      const save = (): void => this.#save();
      const common = { vault, clock, random, logger, metrics, onChange };
      this.#sessions = new Sessions({ ...common, login, save });
    }
    const obtainer = createObtainer({ ...parts, sessions: this.#sessions, auth, grants });
    const { maxValues, room } = parts;
    this.#values = new Values({
      obtainer,
      ...{ maxValues, room },
      clock,
      random,
      logger,
      metrics,
      onChange,
      onFailure,
    });
    this.#handover = new Handover(config, {
      stateFile: parts.stateFile,
      ...{
        sessions: this.#sessions,
        values: this.#values,
        notifiedDigests: this.#notifiedDigests,
        clock,
        logger,
      },
    });
    this.#revoker =
      vault === undefined || this.#sessions === undefined
        ? NO_REVOKER
        : createRevoker({
            ...{ vault, clock, random, logger, graceMs: config.revokeGraceMs },
            revokeAllMs: parts.revokeAllMs,
            ...{ sessions: this.#sessions, values: this.#values },
          });
  }

  /** True once every file has been written by this process: what is in them was right when it started. */
  get isDelivered(): boolean {
    return this.#isDelivered;
  }

  /** True once an application may start: every file is there, perhaps from a predecessor that has not revoked them. */
  get isStarted(): boolean {
    return this.#files === 'good';
  }

  get #hasLeases(): boolean {
    return [...this.#values.entries].some(({ held }) => held?.lease !== undefined);
  }

  get #files(): FilesState {
    return this.#isDelivered ? 'good' : this.#predecessorFiles;
  }

  /** Resolves when every file has been written; rejects when that has become impossible. */
  delivered(signal: AbortSignal): Promise<void> {
    return raceAbort(this.#firstDelivery.promise, signal);
  }

  /** What a person or a probe can see. */
  status(): AgentStatus {
    const errors = this.#errors();
    const { clock } = this.#parts;
    return agentStatus({
      phase: this.#phase === 'ready' && errors.length > 0 ? 'degraded' : this.#phase,
      sessions: this.#sessions,
      values: this.#values,
      files: this.#delivery?.files ?? [],
      errors,
      clock,
    });
  }

  /**
   * Writes every file once and leaves the state to a successor.
   *
   * @throws VouchsafeError `ERR_AGENT_DEADLINE`, or the error that made the start impossible; on abort
   * `signal.reason`, unless the files were written by then.
   */
  async runOnce(signal: AbortSignal): Promise<void> {
    const done = new AbortController();
    const tasks = await this.#tasks();
    try {
      await runAll(AbortSignal.any([signal, done.signal]), [
        ...tasks,
        (inner) => this.#guardStart(inner),
        async (inner) => {
          await this.delivered(inner);
          this.#save();
          done.abort();
        },
      ]);
    } finally {
      // Whether there will be another try nobody knows.
      if (!this.#isDelivered) await this.#revokeAll({ isUsed: this.#hasSuccessor });
    }
    if (!this.#isDelivered) signal.throwIfAborted();
    await this.#revokeIfIdle();
  }

  /**
   * Writes the files and keeps them fresh until `signal` aborts; then revokes what `revokeOnExit` says, for this may be
   * the end of the pod. Where it is not, a successor learns from the state what the application was told.
   *
   * @throws VouchsafeError as {@link runOnce}; a failure after the first delivery never ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.runUntilAborted(signal);
    } catch (error) {
      // A process that is ended by a defect is started again in the same pod, and goes on from its state; where none
      // is kept, nobody can use the token any more. A start that failed may be the last.
      if (!this.isStarted || !this.#hasSuccessor) await this.#revokeAll();
      throw error;
    }
    await this.#revokeAll();
    this.#logger.info('agent stopped', { revoked: this.#parts.config.revokeOnExit });
  }

  /**
   * Writes the files and keeps them fresh until `signal` aborts; what it holds it leaves to a successor, or to
   * {@link revoke}.
   *
   * @throws VouchsafeError as {@link run}.
   */
  async runUntilAborted(signal: AbortSignal): Promise<void> {
    const tasks = await this.#tasks();
    const guard: Task = (inner) => this.#guardStart(inner);
    await runAll(signal, this.isStarted ? tasks : [...tasks, guard]);
  }

  /**
   * Goes on after a SIGTERM that the application got as well: for `revokeDelayMs`, or until `isAlone` tells that no
   * other container is left. At once where there is nothing whose revocation an application would notice. To be called
   * beside {@link run}, before its signal aborts; ends early when `signal` aborts.
   */
  async linger(isAlone: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    const { config, vault, clock } = this.#parts;
    const sessions = this.#sessions;
    if (!config.revokeOnExit || vault === undefined || sessions === undefined) return;
    const isNeeded = async (): Promise<boolean> =>
      this.isStarted && this.#hasLeases && !(await isAlone());
    this.#isEnding = true;
    this.#save();
    const delayMs = config.revokeDelayMs;
    await linger({ sessions, vault, clock, logger: this.#logger, delayMs, isNeeded }, signal);
  }

  /**
   * Revokes what `revokeOnExit` says of all that this agent holds or, where it has never run, that a predecessor left
   * to it. One try within bounds, never rejects. Resolves to true when nothing is left to revoke; the state is
   * removed then, and else kept for another try, by this agent or by a successor.
   */
  async revoke(): Promise<boolean> {
    const hasRun = this.#delivery !== undefined || this.#phase !== 'starting';
    // Nothing else tells what there is to revoke.
    if (!hasRun && this.#handover.resume() === 'unreadable') return false;
    this.#phase = 'stopping';
    const isDone = !this.#parts.config.revokeOnExit || (await this.#revoker.revokeAll());
    if (isDone) this.#handover.deleteState();
    return isDone;
  }

  async #tasks(): Promise<readonly Task[]> {
    const found = this.#handover.resume();
    this.#predecessorFiles = found === 'unreadable' ? 'none' : found;
    await this.#templates.load();
    const delivery = this.#createDelivery();
    this.#delivery = delivery;
    const sessions = this.#sessions;
    const tasks: Task[] = [
      (signal) => this.#templates.run(signal),
      (signal) => this.#values.run(signal),
      (signal) => delivery.run(signal),
      (signal) => this.#saveChanges(signal),
    ];
    if (sessions !== undefined) {
      tasks.push((signal) => sessions.run(signal));
      tasks.push((signal) => this.#moveLeases(sessions, signal));
    }
    if (needsX509(this.#parts.config)) tasks.push((signal) => this.#followX509(signal));
    return tasks;
  }

  #createDelivery(): Delivery {
    const { config, writer, notifier, clock, random } = this.#parts;
    return new Delivery(
      {
        ...{ config, writer, notifier, clock, random },
        fileSet: this.#fileSet,
        values: this.#values,
        revoker: this.#revoker,
        logger: this.#logger,
        metrics: this.#parts.metrics ?? NO_METRICS,
        notifiedDigests: this.#notifiedDigests,
        onNotified: () => this.#save(),
        beforeWrite: () => this.#save(),
        onDelivered: () => this.#onDelivered(),
        onFailure: (error) => this.#failed(error),
      },
      this.#predecessorFiles !== 'none',
    );
  }

  #onDelivered(): void {
    this.#isDelivered = true;
    this.#phase = 'ready';
    this.#stateChanges.set(undefined);
    this.#firstDelivery.resolve(undefined);
  }

  /** Before the first delivery, an error that no waiting can mend ends the start. */
  #failed(error: VouchsafeError): void {
    if (!this.#isDelivered && error.retry === 'never') this.#firstDelivery.reject(error);
  }

  #guardStart(signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#parts;
    const delivered = (inner: AbortSignal): Promise<void> => this.delivered(inner);
    const cause = (): VouchsafeError | undefined => this.#errors()[0];
    return guardStart({ config, clock, logger: this.#logger, delivered, cause }, signal);
  }

  async #moveLeases(sessions: Sessions, signal: AbortSignal): Promise<void> {
    for await (const session of sessions.updates(signal)) this.#values.moveLeasesTo(session.id);
  }

  async #followX509(signal: AbortSignal): Promise<void> {
    const { config, identity } = this.#parts;
    if (identity === undefined) return;
    const parts = { config, identity, values: this.#values, sessions: this.#sessions };
    try {
      await followX509(parts, signal);
    } catch (caught) {
      signal.throwIfAborted();
      // It ends a start; after that the last good files stay, and the status tells why.
      this.#failed(toVouchsafeError(caught));
    }
  }

  async #saveChanges(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#stateChanges.updates(signal)) this.#save();
  }

  #save(): void {
    if (this.#isEnding) this.#handover.saveTombstone(this.#files);
    else this.#handover.save(this.#files);
  }

  /** After a single run without successor nothing needs the token, unless leases hang off it. */
  async #revokeIfIdle(): Promise<void> {
    if (!this.#hasSuccessor && !this.#hasLeases) await this.#revokeAll({ isUsed: false });
  }

  get #hasSuccessor(): boolean {
    return this.#parts.stateFile !== undefined;
  }

  /** What neither an application nor a successor can use, no setting keeps. */
  async #revokeAll({ isUsed } = { isUsed: true }): Promise<void> {
    this.#phase = 'stopping';
    if (isUsed && !this.#parts.config.revokeOnExit) return;
    this.#isEnding = true;
    this.#save();
    await this.#revoker.revokeAll();
    this.#save();
  }

  /** Everything that fails at the moment, the likeliest cause of the others first. */
  #errors(): readonly VouchsafeError[] {
    const values = [...this.#values.entries].flatMap(({ error }) => error ?? []);
    const identity = needsX509(this.#parts.config) ? this.#parts.identity?.lastError : undefined;
    return [
      this.#sessions?.lastError,
      identity,
      ...values,
      this.#templates.lastError,
      this.#delivery?.lastError,
    ].filter((error) => error !== undefined);
  }
}
