/**
 * Runs the steps identity -> login -> read -> render -> write -> notify for as long as the pod lives.
 * It uses its parts only through the interfaces of `ports.ts`.
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
import { Handover } from './handover.ts';
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
import type { FilesState } from './phase.ts';
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
  /** The service-account token. Default: the file that the config names. */
  readonly token?: TokenPort | undefined;
  /** The most dependencies of all files. Default 10 000. */
  readonly maxValues?: number | undefined;
  /** Time for all revocations at the end, in milliseconds. Default: 5 s. */
  readonly revokeAllMs?: number | undefined;
  /** Bounds the memory of the values. Default: no bound. */
  readonly room?: ValuesRoom | undefined;
  /** Where the state is saved for a successor. Undefined: nowhere. */
  readonly stateFile: StateFile | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** The engine of one workload. */
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
  /** The state in which a predecessor left the files. */
  #predecessorFiles: FilesState = 'none';
  /** True once the state of a predecessor has been read, if there is one. */
  #hasResumed = false;
  #phase: AgentPhase = 'starting';
  /** True once credentials are being revoked: from then on a successor must not reuse any. */
  #isEnding = false;

  /** @throws VouchsafeError `ERR_TEMPLATE_*` for a template that can never be rendered. */
  constructor(parts: AgentParts<T>) {
    const { config, clock, random, vault } = parts;
    const logger = parts.logger ?? NO_LOGGER;
    const metrics = parts.metrics ?? NO_METRICS;
    const onChange = (): void => this.#stateChanges.set(undefined);
    this.#parts = parts;
    this.#logger = logger;
    this.#firstDelivery.promise.catch(() => undefined); // reported to the callers that wait for it
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

  /** True once this process has written or confirmed every file. */
  get isDelivered(): boolean {
    return this.#delivery?.state === 'confirmed';
  }

  /** True once an application may start: every file exists, and a predecessor has not revoked its credentials. */
  get isStarted(): boolean {
    return this.#files === 'good';
  }

  get #hasLeases(): boolean {
    return [...this.#values.entries].some(({ held }) => held?.lease !== undefined);
  }

  get #files(): FilesState {
    return this.isDelivered ? 'good' : this.#predecessorFiles;
  }

  /** Resolves when every file has been written; rejects with the error that makes that impossible. */
  delivered(signal: AbortSignal): Promise<void> {
    return raceAbort(this.#firstDelivery.promise, signal);
  }

  /** The status, without secrets. */
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
      // There may be no other try.
      if (!this.isDelivered) await this.#revokeAll({ isUsed: this.#hasSuccessor });
    }
    if (!this.isDelivered) signal.throwIfAborted();
    await this.#revokeIfIdle();
  }

  /**
   * Writes the files and keeps them fresh until `signal` aborts; then revokes as `revokeOnExit` requires, because the
   * pod may be ending. If it is not, a successor reads from the state which files the application was notified of.
   *
   * @throws VouchsafeError as {@link runOnce}; a failure after the first delivery never ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.runUntilAborted(signal);
    } catch (error) {
      // After a crash the container restarts in the same pod and resumes from its state. Without a state the token is
      // of no more use; and after a failed start there may be no other one.
      if (!this.isStarted || !this.#hasSuccessor) await this.#revokeAll();
      throw error;
    }
    await this.#revokeAll();
    this.#logger.info('agent stopped', { revoked: this.#parts.config.revokeOnExit });
  }

  /**
   * Writes the files and keeps them fresh until `signal` aborts. Credentials are left to a successor or to
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
   * Waits after a SIGTERM that the application received as well: for `revokeDelayMs`, or until `isAlone` reports that
   * no other container is running. Returns at once if there is nothing to revoke that an application uses. Call it
   * beside {@link run}, after that was called and before its signal aborts; ends early when `signal` aborts.
   */
  async linger(isAlone: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    const { config, vault, clock } = this.#parts;
    const sessions = this.#sessions;
    if (!config.revokeOnExit || vault === undefined || sessions === undefined) return;
    // A tombstone would replace the state of a predecessor, which is the only record of what to revoke.
    if (!this.#hasResumed) return;
    const isNeeded = async (): Promise<boolean> =>
      this.isStarted && this.#hasLeases && !(await isAlone());
    this.#isEnding = true;
    this.#save();
    const delayMs = config.revokeDelayMs;
    await linger({ sessions, vault, clock, logger: this.#logger, delayMs, isNeeded }, signal);
  }

  /**
   * Revokes, as `revokeOnExit` requires, the credentials of this agent or, if it has never run, those of its
   * predecessor. One bounded try; never rejects. Resolves to true when nothing is left to revoke and the state is
   * deleted; otherwise the state is kept for another try by this agent or a successor.
   */
  async revoke(): Promise<boolean> {
    const hasRun = this.#delivery !== undefined || this.#phase !== 'starting';
    // The state is the only record of what to revoke.
    if (!hasRun && this.#handover.resume() === 'unreadable') return false;
    this.#phase = 'stopping';
    const isDone = !this.#parts.config.revokeOnExit || (await this.#revoker.revokeAll());
    if (isDone) this.#handover.deleteState();
    return isDone;
  }

  async #tasks(): Promise<readonly Task[]> {
    const found = this.#handover.resume();
    this.#hasResumed = true;
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
      this.#predecessorFiles === 'none' ? 'none' : 'by-predecessor',
    );
  }

  #onDelivered(): void {
    this.#phase = 'ready';
    this.#stateChanges.set(undefined);
    this.#firstDelivery.resolve(undefined);
  }

  /** Before the first delivery, an error that a retry cannot solve ends the start. */
  #failed(error: VouchsafeError): void {
    if (!this.isDelivered && error.retry === 'never') this.#firstDelivery.reject(error);
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
      // It ends a start; later the last good files stay, and the status shows the error.
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

  /** After a single run without a successor the token is needed only if leases belong to it. */
  async #revokeIfIdle(): Promise<void> {
    if (!this.#hasSuccessor && !this.#hasLeases) await this.#revokeAll({ isUsed: false });
  }

  get #hasSuccessor(): boolean {
    return this.#parts.stateFile !== undefined;
  }

  /** Credentials that neither an application nor a successor can use are revoked whatever `revokeOnExit` is. */
  async #revokeAll({ isUsed } = { isUsed: true }): Promise<void> {
    this.#phase = 'stopping';
    if (isUsed && !this.#parts.config.revokeOnExit) return;
    this.#isEnding = true;
    this.#save();
    await this.#revoker.revokeAll();
    this.#save();
  }

  /** All current failures, the likeliest root cause first. */
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
