/**
 * Runs the steps identity -> login -> read -> render -> write -> notify for as long as the pod lives.
 * It uses its parts only through the interfaces of `ports.ts`.
 */
import { toVouchsafeError, type VouchsafeError } from '../core/index.ts';
import { raceAbort, Latest, runAll, type Task } from '../async/index.ts';
import { afterCertificates } from './client-certificates.ts';
import type { Delivery } from './delivery.ts';
import { followX509, needsX509 } from './follow-x509.ts';
import { linger } from './linger.ts';
import type { Login } from './logins.ts';
import {
  isDelivered,
  isEnding,
  NEW_AGENT,
  phaseOf,
  savedFiles,
  transition,
  type AgentEvent,
  type AgentState,
} from './phase.ts';
import { shortenTokens } from './shorten-tokens.ts';
import { guardStart, isPending } from './start-guard.ts';
import { agentStatus, type AgentStatus } from './status.ts';
import { createDelivery, wireAgent, type AgentParts, type Wiring } from './wire-agent.ts';

/** The engine of one workload. */
export class Agent<T> {
  readonly #parts: AgentParts<T>;
  readonly #own: Wiring;
  readonly #firstDelivery = Promise.withResolvers<undefined>();
  readonly #stateChanges = new Latest<undefined>();
  #delivery: Delivery | undefined;
  #state: AgentState = NEW_AGENT;

  /** @throws VouchsafeError `ERR_TEMPLATE_*` for a template that can never be rendered. */
  constructor(parts: AgentParts<T>) {
    this.#parts = parts;
    this.#firstDelivery.promise.catch(() => undefined); // reported to the callers that wait for it
    this.#own = wireAgent(parts, {
      onChange: () => this.#stateChanges.set(undefined),
      save: () => this.#save(),
      onTemplates: () => this.#delivery?.templatesChanged(),
      onFailure: (error) => this.#failed(error),
    });
  }

  /** True once this process has written or confirmed every file. */
  get isDelivered(): boolean {
    return isDelivered(this.#state);
  }

  /** True once an application may start: every file exists, and a predecessor has not revoked its credentials. */
  get isStarted(): boolean {
    return savedFiles(this.#state) === 'good';
  }

  /** Resolves when every file has been written; rejects with the error that makes that impossible. */
  delivered(signal: AbortSignal): Promise<void> {
    return raceAbort(this.#firstDelivery.promise, signal);
  }

  /** The status, without secrets. */
  status(): AgentStatus {
    const errors = this.#errors();
    const { clock } = this.#parts;
    const { logins, values, envContainers } = this.#own;
    const phase = phaseOf(this.#state, errors.length > 0);
    const files = this.#delivery?.files ?? [];
    return agentStatus({ phase, logins, values, files, envContainers, errors, clock });
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
      if (!this.isDelivered) await this.#end({ isUsed: this.#hasSuccessor });
    }
    if (!this.isDelivered) signal.throwIfAborted();
    await this.#revokeIfIdle();
  }

  /**
   * Writes the files and keeps them fresh until `signal` aborts; then revokes as `revokeOnExit` requires, because the
   * pod may be ending. If it is not, a successor reads from the state which files the application was notified of.
   *
   * @throws VouchsafeError as {@link runOnce}; `ERR_AGENT_START_PENDING` if the kubelet's hook has to fail, and the start
   * goes on in another process; a failure after the first delivery never ends it.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.runUntilAborted(signal);
    } catch (error) {
      // After a crash the container restarts in the same pod and resumes from its state. Without a state the token is
      // of no more use; and after a failed start there may be no other one.
      if (isPending(error) && !isEnding(this.#state)) await this.#pause();
      else if (!this.isStarted || !this.#hasSuccessor) await this.#end();
      throw error;
    }
    await this.#end();
    this.#own.logger.info('agent stopped', { revoked: this.#parts.config.revokeOnExit });
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
    const { config, clock } = this.#parts;
    const { logins, logger } = this.#own;
    if (!config.revokeOnExit || logins.size === 0) return;
    const isNeeded = async (): Promise<boolean> =>
      this.isStarted && this.#hasLeases && !(await isAlone());
    this.#dispatch({ kind: 'linger' });
    if (this.#state.name !== 'lingering') return;
    this.#save();
    const delayMs = config.revokeDelayMs;
    await linger({ logins: logins.values(), clock, logger, delayMs, isNeeded }, signal);
  }

  /**
   * Revokes, as `revokeOnExit` requires, the credentials of this agent or, if it has never run, those of its
   * predecessor. One bounded try; never rejects. Resolves to true when nothing is left to revoke and the state is
   * deleted; otherwise the state is kept for another try by this agent or a successor.
   */
  async revoke(): Promise<boolean> {
    const { handover, revoker } = this.#own;
    // The state is the only record of what to revoke.
    if (this.#state.name === 'new' && handover.resume() === 'unreadable') return false;
    this.#dispatch({ kind: 'stop' });
    const isDone = !this.#parts.config.revokeOnExit || (await revoker.revokeAll());
    if (isDone) handover.deleteState();
    return isDone;
  }

  #dispatch(event: AgentEvent): void {
    this.#state = transition(this.#state, event);
  }

  get #hasLeases(): boolean {
    return [...this.#own.values.entries].some(({ held }) => held?.lease !== undefined);
  }

  /** Begins the run: resumes from a predecessor, and returns what runs side by side. */
  async #tasks(): Promise<readonly Task[]> {
    const { handover, templates, logins, values, envContainers } = this.#own;
    const found = handover.resume();
    const files = found === 'unreadable' ? 'none' : found;
    this.#dispatch({ kind: 'start', files });
    if (this.isStarted) this.#parts.startGate?.open();
    await templates.load();
    const save = (): void => this.#save();
    const delivery = createDelivery(this.#parts, this.#own, {
      found: files,
      onNotified: save,
      beforeWrite: save,
      onDelivered: () => this.#onDelivered(),
      onFailure: (error) => this.#failed(error),
    });
    this.#delivery = delivery;
    const withVault = (task: Task): Task => afterCertificates({ ...this.#parts, logins }, task);
    const tasks: Task[] = [
      (signal) => templates.run(signal),
      withVault((signal) => values.run(signal)),
      withVault((signal) => delivery.run(signal)),
      (signal) => this.#saveChanges(signal),
    ];
    for (const login of logins.values()) {
      tasks.push(withVault((signal) => login.sessions.run(signal)));
      tasks.push((signal) => this.#moveLeases(login, signal));
    }
    if (envContainers !== undefined) tasks.push((signal) => envContainers.run(signal));
    if (needsX509(this.#parts.config)) tasks.push((signal) => this.#followX509(signal));
    return tasks;
  }

  #onDelivered(): void {
    this.#dispatch({ kind: 'delivered' });
    this.#parts.startGate?.open();
    this.#stateChanges.set(undefined);
    this.#firstDelivery.resolve(undefined);
  }

  /** Before the first delivery, an error that a retry cannot solve ends the start. */
  #failed(error: VouchsafeError): void {
    if (!this.isDelivered && error.retry === 'never') this.#firstDelivery.reject(error);
  }

  #guardStart(signal: AbortSignal): Promise<void> {
    const delivered = (inner: AbortSignal): Promise<void> => this.delivered(inner);
    const cause = (): VouchsafeError | undefined => this.#errors()[0];
    return guardStart({ ...this.#parts, logger: this.#own.logger, delivered, cause }, signal);
  }

  async #moveLeases({ name, sessions }: Login, signal: AbortSignal): Promise<void> {
    for await (const session of sessions.updates(signal)) {
      this.#own.values.moveLeasesTo(session.id, name);
    }
  }

  async #followX509(signal: AbortSignal): Promise<void> {
    const { config, identity } = this.#parts;
    if (identity === undefined) return;
    const { values, logins } = this.#own;
    try {
      await followX509({ config, identity, values, logins }, signal);
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
    const { handover } = this.#own;
    const files = savedFiles(this.#state);
    if (isEnding(this.#state)) handover.saveTombstone(files);
    else handover.save(files);
  }

  /** After a single run without a successor the token is needed only if leases belong to it. */
  async #revokeIfIdle(): Promise<void> {
    if (!this.#hasSuccessor && !this.#hasLeases) await this.#end({ isUsed: false });
  }

  get #hasSuccessor(): boolean {
    return this.#parts.stateFile !== undefined;
  }

  /** Leaves the start to the next try, which needs no login. */
  async #pause(): Promise<void> {
    this.#dispatch({ kind: 'stop' });
    await shortenTokens({ ...this.#parts, ...this.#own });
    this.#save();
  }

  /**
   * Ends as `revokeOnExit` requires; credentials that neither an application nor a successor can use are revoked in any
   * case.
   */
  async #end({ isUsed } = { isUsed: true }): Promise<void> {
    this.#parts.startGate?.endStart();
    if (isUsed && !this.#parts.config.revokeOnExit) {
      this.#dispatch({ kind: 'stop' });
      return;
    }
    this.#dispatch({ kind: 'revoke' });
    this.#save();
    await this.#own.revoker.revokeAll();
    this.#save();
  }

  /** All current failures, the likeliest root cause first. */
  #errors(): readonly VouchsafeError[] {
    const { logins, values, templates } = this.#own;
    const identity = needsX509(this.#parts.config) ? this.#parts.identity?.lastError : undefined;
    return [
      ...[...logins.values()].map(({ sessions }) => sessions.lastError),
      identity,
      ...[...values.entries].map(({ error }) => error),
      templates.lastError,
      this.#delivery?.lastError,
    ].filter((error) => error !== undefined);
  }
}
