/**
 * The agent's Vault tokens: one login per start, renewed until the max TTL and replaced before it.
 *
 * What happens next is decided by the state machine of `session-transitions.ts`; this class reports events to it and acts.
 */
import type { VaultToken } from '../contracts/index.ts';
import {
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Counter,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import { Latest, raceAbort, WakeableTimer } from '../async/index.ts';
import type { VaultPort } from './ports.ts';
import {
  currentOf,
  dueAtMs,
  NO_SESSION,
  sessionFor,
  type ResumedSession,
  type Session,
  type SessionEffect,
  type SessionEvent,
  type SessionRequest,
  type SessionState,
} from './session-state.ts';
import { transitionSession } from './session-transitions.ts';

export type { ResumedSession, Session } from './session-state.ts';

export interface SessionsOptions {
  /** One try of a login. */
  readonly login: (signal: AbortSignal) => Promise<VaultToken>;
  readonly vault: Pick<VaultPort, 'renewToken'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called after each change that has to be saved for a successor. */
  readonly onChange: () => void;
  /** Saves the state after a login, before the token is used. Default: nothing is saved. */
  readonly save?: () => void;
}

/** Keeps one valid token, and the older ones until they are revoked. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #timer: WakeableTimer;
  readonly #current = new Latest<Session>();
  readonly #logins: Counter;
  readonly #renewals: Counter;
  /** Renewals in progress; their session may have been replaced meanwhile. */
  readonly #renewing = new Set<Promise<void>>();
  /** By id: the objects that others hold. They show the present plan of their session. */
  readonly #views = new Map<number, Session>();
  #state: SessionState = NO_SESSION;
  /** The login in progress: there is one in the states `logging-in` and `replacing`. */
  #login: Promise<Session> | undefined;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#timer = new WakeableTimer(options.clock);
    this.#logins = options.metrics.counter(
      'vouchsafe_logins_total',
      'Logins to Vault, by result.',
      ['result'],
    );
    this.#renewals = options.metrics.counter(
      'vouchsafe_token_renewals_total',
      'Renewals of the Vault token, by result.',
      ['result'],
    );
  }

  get current(): Session | undefined {
    return this.#current.current;
  }

  /** Replaced sessions that are neither revoked nor expired. */
  get retired(): readonly Session[] {
    const now = this.#options.clock.monotonicMs();
    const left = this.#state.history.retired.filter(({ plan }) => plan.expiresAtMs > now);
    return left.map((session) => this.#view(session));
  }

  /** The number of logins in this pod, including those of predecessors. */
  get count(): number {
    return this.#state.history.logins;
  }

  /** Why the last login failed, until one succeeds; an older session may still be valid. */
  get lastError(): VouchsafeError | undefined {
    return this.#state.history.lastError;
  }

  /** Each session that becomes the current one. */
  updates(signal: AbortSignal): AsyncIterable<Session> {
    return this.#current.updates(signal);
  }

  /** Resumes the session of a predecessor. */
  resume(session: ResumedSession, logins: number): Session {
    this.#apply({ type: 'resumed', session, logins });
    return this.#present();
  }

  /** Takes over sessions that a predecessor could not revoke; nothing is read with them. */
  adopt(sessions: readonly ResumedSession[]): void {
    this.#apply({ type: 'adopted', sessions });
  }

  /**
   * The current session, after a login if there is none. Callers share one login, which is retried with backoff
   * until it succeeds, an error is final, or `signal` aborts.
   *
   * If a login that replaces an earlier session fails, its error is thrown instead: callers that waited here would all
   * send requests when Vault returns, and they have schedules of their own.
   */
  async ensure(signal: AbortSignal): Promise<Session> {
    signal.throwIfAborted();
    const found = sessionFor(this.#state, this.#options.clock.monotonicMs());
    if (found instanceof VouchsafeError) throw found;
    return found === undefined ? this.#sharedLogin(signal) : this.#view(found);
  }

  /** Called when Vault rejects the session's token as invalid. */
  invalidate({ id }: Session): void {
    this.#apply({ type: 'invalidated', id });
  }

  /**
   * Logs in again now, because the identity behind the current session has changed. A renewal in progress does not
   * delay that, and a login in progress with the old identity is followed by another one.
   */
  replace(): void {
    this.#apply({ type: 'identityReplaced' });
  }

  /** Logs in again now, unless a login or a renewal is in progress: a new lease would end with the present token. */
  replaceBeforeEnd(): void {
    this.#apply({ type: 'longerLifeRequired' });
  }

  /** A successor renews this token at once. `ttlMs` is what it has left, if known. */
  shortened({ id }: Session, ttlMs: number | undefined): void {
    this.#apply({ type: 'shortened', id, ttlMs });
  }

  /** Removes a retired session after its revocation. */
  forget({ id }: Session): void {
    this.#apply({ type: 'forgotten', id });
  }

  /** Removes a session after the final revocation; no login follows. */
  end({ id }: Session): void {
    this.#apply({ type: 'ended', id });
  }

  /** Renews the current session and replaces it before it ends or when it is lost, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const atMs = dueAtMs(this.#state, this.#options.clock.monotonicMs());
        await this.#timer.waitUntil(atMs, signal);
        const request = this.#apply({ type: 'due' });
        this.#start(request, signal);
        if (request?.type === 'log-in') await this.#login;
      }
    } finally {
      await Promise.all(this.#renewing);
    }
  }

  /** Reports an event to the state machine, executes the effects, and returns what to request of Vault next. */
  #apply(event: SessionEvent): SessionRequest | undefined {
    const { clock, random } = this.#options;
    const context = { nowMs: clock.monotonicMs(), wallMs: clock.now(), random };
    const { state, effects, request } = transitionSession(this.#state, event, context);
    this.#state = state;
    this.#updateViews();
    for (const effect of effects) this.#execute(effect);
    return request;
  }

  #execute(effect: SessionEffect): void {
    const { logger, save, onChange } = this.#options;
    switch (effect.type) {
      case 'log':
        logger[effect.level](effect.message, effect.fields);
        break;
      case 'count': {
        const counter = effect.operation === 'login' ? this.#logins : this.#renewals;
        counter.add({ result: effect.result });
        break;
      }
      case 'publish':
        this.#current.set(this.#present());
        break;
      case 'withdraw':
        this.#current.clear();
        break;
      case 'save':
        save?.();
        break;
      case 'changed':
        onChange();
        break;
      case 'wake':
        this.#timer.wake();
    }
  }

  #start(request: SessionRequest | undefined, signal: AbortSignal): void {
    if (request?.type === 'log-in') this.#startLogin(request.afterMs, signal);
    if (request?.type === 'renew') this.#startRenewal(request.session, signal);
  }

  /** Not awaited, so that other events of the session do not wait for Vault's response. */
  #startRenewal(session: Session, signal: AbortSignal): void {
    const renewal = this.#renew(session, signal).finally(() => this.#renewing.delete(renewal));
    this.#renewing.add(renewal);
  }

  async #renew({ id, token }: Session, signal: AbortSignal): Promise<void> {
    let event: SessionEvent;
    try {
      event = { type: 'renewed', id, grant: await this.#options.vault.renewToken(token, signal) };
    } catch (caught) {
      event = signal.aborted
        ? { type: 'renewalAborted', id }
        : { type: 'renewalFailed', id, error: toVouchsafeError(caught) };
    }
    this.#apply(event);
  }

  async #sharedLogin(signal: AbortSignal): Promise<Session> {
    this.#start(this.#apply({ type: 'loginRequired' }), signal);
    return this.#login === undefined ? this.#present() : raceAbort(this.#login, signal);
  }

  #startLogin(afterMs: number, signal: AbortSignal): void {
    const { promise, resolve, reject } = Promise.withResolvers<Session>();
    this.#login = promise;
    this.#logIn(afterMs, signal).then(resolve, reject);
  }

  /** Tries until Vault grants a token, an error is final, or `signal` aborts. */
  async #logIn(afterMs: number, signal: AbortSignal): Promise<Session> {
    const { clock, login } = this.#options;
    for (let waitMs = afterMs; ;) {
      let token: VaultToken;
      try {
        if (waitMs > 0) await clock.sleep(waitMs, signal);
        signal.throwIfAborted();
        this.#apply({ type: 'loginTried' });
        token = await login(signal);
      } catch (caught) {
        const error = toVouchsafeError(caught);
        const next = this.#apply(
          signal.aborted ? { type: 'loginAborted' } : { type: 'loginFailed', error },
        );
        if (next?.type !== 'log-in') {
          this.#login = undefined;
          throw signal.aborted ? signal.reason : error;
        }
        waitMs = next.afterMs;
        continue;
      }
      this.#login = undefined;
      this.#apply({ type: 'loggedIn', token });
      return this.#present();
    }
  }

  #present(): Session {
    const session = currentOf(this.#state);
    if (session === undefined) throw new TypeError(`no session in the state ${this.#state.name}`);
    return this.#view(session);
  }

  #view(session: Session): Session {
    return this.#views.get(session.id) ?? session;
  }

  #updateViews(): void {
    const { history } = this.#state;
    const current = currentOf(this.#state);
    const sessions = current === undefined ? history.retired : [current, ...history.retired];
    const ids = new Set(sessions.map(({ id }) => id));
    for (const id of this.#views.keys()) if (!ids.has(id)) this.#views.delete(id);
    for (const session of sessions) {
      const view = this.#views.get(session.id);
      if (view === undefined) this.#views.set(session.id, { ...session });
      else Object.assign(view, session);
    }
  }
}
