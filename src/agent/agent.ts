/**
 * Joins the steps: identity -> login -> read -> render -> write -> notify, for as long as the pod lives.
 * Ring: agent. It knows its parts by the small interfaces of `ports.ts` alone.
 */
import {
  formatDuration,
  NO_LOGGER,
  NO_METRICS,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import type { AgentConfig } from '../config/index.ts';
import { abortable, Latest, runAll, type Task } from '../lifecycle/index.ts';
import { Delivery } from './delivery.ts';
import { createFileSet, type FileSet } from './file-set.ts';
import { resumeState, saveState } from './handover.ts';
import { loginOnce } from './login.ts';
import { createObtainer } from './obtain.ts';
import type {
  FilesPort,
  IdentityPort,
  NotifierPort,
  TemplatePort,
  VaultPort,
  WriterPort,
} from './ports.ts';
import { createReleaser, NO_RELEASER, type Releaser } from './release.ts';
import { Sessions } from './sessions.ts';
import type { StateFile } from './state-file.ts';
import { agentStatus, type AgentPhase, type AgentStatus } from './status.ts';
import { Values } from './values.ts';

/** Time for revocations when the agent ends. */
const REVOKE_TIMEOUT_MS = 5000;

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
  readonly #sessions: Sessions | undefined;
  readonly #values: Values;
  readonly #releaser: Releaser;
  readonly #firstDelivery = Promise.withResolvers<undefined>();
  readonly #fatal = Promise.withResolvers<never>();
  readonly #stateChanges = new Latest<undefined>();
  #delivery: Delivery | undefined;
  #isDelivered = false;
  #wasDelivered = false;
  #phase: AgentPhase = 'starting';
  #templateError: VouchsafeError | undefined;

  /** @throws VouchsafeError `ERR_TEMPLATE_*` for a template that can never be rendered. */
  constructor(parts: AgentParts<T>) {
    const { config, clock, random, vault } = parts;
    const logger = parts.logger ?? NO_LOGGER;
    const metrics = parts.metrics ?? NO_METRICS;
    const onChange = (): void => this.#stateChanges.set(undefined);
    this.#parts = parts;
    this.#logger = logger;
    this.#fatal.promise.catch(() => undefined);
    this.#fileSet = createFileSet(config, parts.templates, parts.files);
    const { auth } = config;
    if (vault !== undefined && auth !== undefined) {
      const login = (signal: AbortSignal) => loginOnce({ ...parts, auth, vault }, signal);
      this.#sessions = new Sessions({ login, vault, clock, random, logger, metrics, onChange });
    }
    const audience = auth?.audience ?? 'vault';
    const obtainer = createObtainer({ ...parts, sessions: this.#sessions, audience });
    const onFailure = (error: VouchsafeError): void => this.#failed(error);
    this.#values = new Values({ obtainer, clock, random, logger, metrics, onChange, onFailure });
    this.#releaser =
      vault === undefined || this.#sessions === undefined
        ? NO_RELEASER
        : createReleaser({
            ...{ vault, clock, random, logger, graceMs: config.revokeGraceMs },
            ...{ sessions: this.#sessions, values: this.#values },
          });
  }

  /** True once every file has been written by this process: what is in them was right when it started. */
  get isDelivered(): boolean {
    return this.#isDelivered;
  }

  /** True once an application may start: every file is there, perhaps from a predecessor. */
  get isStarted(): boolean {
    return this.#isDelivered || this.#wasDelivered;
  }

  /** Resolves when every file has been written. */
  delivered(signal: AbortSignal): Promise<void> {
    return abortable(this.#firstDelivery.promise, signal);
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
   * @throws VouchsafeError `ERR_AGENT_DEADLINE`, or the error that made the start impossible.
   */
  async runOnce(signal: AbortSignal): Promise<void> {
    const done = new AbortController();
    await runAll(AbortSignal.any([signal, done.signal]), [
      ...(await this.#tasks()),
      async (inner) => {
        await this.delivered(inner);
        await this.#save();
        done.abort();
      },
    ]);
    signal.throwIfAborted();
    await this.#releaseIfIdle();
  }

  /**
   * Writes the files and keeps them fresh until `signal` aborts; then revokes what `revokeOnExit` says.
   *
   * @throws VouchsafeError as {@link runOnce}; a failure after the first delivery never ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    await runAll(signal, await this.#tasks());
    this.#phase = 'stopping';
    if (this.#parts.config.revokeOnExit) await this.#revokeAll();
    this.#logger.info('agent stopped', { revoked: this.#parts.config.revokeOnExit });
  }

  async #tasks(): Promise<readonly Task[]> {
    const wasDelivered = await this.#resume();
    this.#wasDelivered = wasDelivered;
    const delivery = this.#createDelivery(wasDelivered);
    this.#delivery = delivery;
    const sessions = this.#sessions;
    return [
      (signal) => this.#watchTemplates(signal),
      (signal) => this.#values.run(signal),
      (signal) => delivery.run(signal),
      (signal) => this.#saveChanges(signal),
      ...(wasDelivered ? [] : [(signal: AbortSignal) => this.#guardStart(signal)]),
      ...(sessions === undefined ? [] : [(signal: AbortSignal) => sessions.run(signal)]),
      ...(sessions === undefined
        ? []
        : [(signal: AbortSignal) => this.#moveLeases(sessions, signal)]),
      ...(this.#needsX509() ? [(signal: AbortSignal) => this.#followX509(signal)] : []),
    ];
  }

  #createDelivery(wasDelivered: boolean): Delivery {
    const { config, writer, notifier, clock, random } = this.#parts;
    return new Delivery(
      {
        ...{ config, writer, notifier, clock, random },
        fileSet: this.#fileSet,
        values: this.#values,
        releaser: this.#releaser,
        logger: this.#logger,
        metrics: this.#parts.metrics ?? NO_METRICS,
        beforeWrite: () => this.#save(),
        onDelivered: () => this.#onDelivered(),
        onFailure: (error) => this.#failed(error),
      },
      wasDelivered,
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
    if (!this.#isDelivered && error.retry === 'never') this.#fatal.reject(error);
  }

  async #guardStart(signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#parts;
    const timer = new AbortController();
    const deadline = clock.sleep(config.initDeadlineMs, AbortSignal.any([signal, timer.signal]));
    const expired = deadline.then(() => this.#deadlinePassed());
    expired.catch(() => undefined);
    try {
      await Promise.race([this.delivered(signal), this.#fatal.promise, expired]);
      if (!this.#isDelivered) {
        await Promise.race([this.delivered(signal), this.#fatal.promise]);
      }
    } finally {
      timer.abort();
    }
  }

  #deadlinePassed(): void {
    const { config } = this.#parts;
    const cause = this.#errors()[0];
    const why = cause === undefined ? 'no error was seen' : `${cause.code}: ${cause.message}`;
    const waited = formatDuration(config.initDeadlineMs);
    if (config.onMissingVault === 'wait') {
      this.#logger.warn('start takes longer than init-deadline; waiting on', { error: cause });
      return;
    }
    throw new VouchsafeError(
      'ERR_AGENT_DEADLINE',
      `the files were not written within ${waited}; last cause: ${why}`,
      { cause, details: cause === undefined ? {} : { cause_code: cause.code } },
    );
  }

  async #watchTemplates(signal: AbortSignal): Promise<void> {
    const paths = this.#fileSet.templateFiles;
    if (paths.length === 0) return;
    for await (const _ of this.#parts.files.watch(paths, signal)) {
      try {
        await this.#fileSet.reload();
        this.#templateError = undefined;
        this.#values.changes.set(undefined);
      } catch (caught) {
        const error = toVouchsafeError(caught);
        this.#logger.error('template was not loaded', { error });
        this.#templateError = error;
        this.#failed(error);
      }
    }
  }

  async #moveLeases(sessions: Sessions, signal: AbortSignal): Promise<void> {
    for await (const session of sessions.updates(signal)) this.#values.moveLeasesTo(session.id);
  }

  #needsX509(): boolean {
    const { config } = this.#parts;
    const isFile = config.files.some(({ source }) => source.kind === 'x509-svid');
    return isFile || config.auth?.method === 'cert';
  }

  async #followX509(signal: AbortSignal): Promise<void> {
    const { identity, config } = this.#parts;
    if (identity === undefined) return;
    const isFile = config.files.some(({ source }) => source.kind === 'x509-svid');
    let known: string | undefined;
    for await (const files of identity.x509Updates(signal)) {
      if (isFile) this.#values.put({ kind: 'x509-svid' }, files);
      // Vault binds the renewal of a cert login to its certificate, so a new one needs a new login.
      const isRotated = known !== undefined && known !== files.svid;
      if (config.auth?.method === 'cert' && isRotated) this.#sessions?.replace();
      known = files.svid;
    }
  }

  async #resume(): Promise<boolean> {
    const { stateFile, config, clock } = this.#parts;
    try {
      const loaded = await stateFile?.load();
      if (loaded === undefined) return false;
      const parts = { sessions: this.#sessions, values: this.#values, clock };
      const wasDelivered = resumeState(config, loaded, parts);
      this.#logger.info('went on from a predecessor', { logins: this.#sessions?.count ?? 0 });
      return wasDelivered;
    } catch (error) {
      this.#logger.warn('state of a predecessor was not used', { error: toVouchsafeError(error) });
      return false;
    }
  }

  async #saveChanges(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#stateChanges.updates(signal)) await this.#save();
  }

  async #save(): Promise<void> {
    const { stateFile, config, clock } = this.#parts;
    if (stateFile === undefined || this.#phase === 'stopping') return;
    const parts = { sessions: this.#sessions, values: this.#values, clock };
    try {
      await stateFile.save(saveState(config, { ...parts, isDelivered: this.#isDelivered }));
    } catch (error) {
      // Without it a restart costs a login and new credentials; the files themselves are not in danger.
      this.#logger.warn('state was not saved', { error });
    }
  }

  /** After a single run without successor nothing needs the token, unless leases hang off it. */
  async #releaseIfIdle(): Promise<void> {
    const { config, stateFile } = this.#parts;
    const hasLeases = [...this.#values.entries].some(({ held }) => held?.lease !== undefined);
    if (stateFile === undefined && config.revokeOnExit && !hasLeases) await this.#revokeAll();
  }

  async #revokeAll(): Promise<void> {
    await this.#releaser.releaseAll(AbortSignal.timeout(REVOKE_TIMEOUT_MS));
    await this.#parts.stateFile?.remove();
  }

  /** Everything that fails at the moment, the likeliest cause of the others first. */
  #errors(): readonly VouchsafeError[] {
    const values = [...this.#values.entries].flatMap(({ error }) => error ?? []);
    const identity = this.#needsX509() ? this.#parts.identity?.lastError : undefined;
    return [
      this.#sessions?.lastError,
      identity,
      ...values,
      this.#templateError,
      this.#delivery?.lastError,
    ].filter((error) => error !== undefined);
  }
}
