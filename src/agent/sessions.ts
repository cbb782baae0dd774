/**
 * The agent's Vault tokens: one login per start, renewed until the max TTL and replaced before it.
 *
 * A session is `current` (new secrets are read with it), then `retired` (a newer login has replaced it, but its leases
 * may still be in use) until it is revoked; or it ends at once, when Vault rejects its token as invalid.
 */
import type { VaultToken } from '../contracts/index.ts';
import {
  hasCode,
  toVouchsafeError,
  type Clock,
  type Counter,
  type Logger,
  type Metrics,
  type Random,
  type Secret,
  type VouchsafeError,
} from '../core/index.ts';
import {
  createBackoff,
  Latest,
  raceAbort,
  retry,
  WakeableTimer,
  type Backoff,
} from '../async/index.ts';
import type { VaultPort } from './ports.ts';
import {
  lastRenewalMs,
  LIFE_WAITS,
  longestWaitMs,
  planLease,
  spreadFirst,
  START_WAITS,
  type RenewalPlan,
} from './schedule.ts';

/** If a token becomes invalid within this time, in milliseconds, the next login backs off. */
const YOUNG_SESSION_MS = 60_000;

/** One Vault token. Times are of the monotonic clock. */
export interface Session {
  /** The number of its login in this pod, from 1; 0 and below: a predecessor's, only to be revoked. */
  readonly id: number;
  readonly token: Secret<string>;
  readonly startedAtMs: number;
  /** The TTL that the login granted; 0: it never expires. */
  readonly fullTtlMs: number;
  /** A batch token cannot be revoked: its leases are revoked one by one. */
  readonly isBatch: boolean;
  /** Ids of a predecessor's leases that do not end with this token. Default: none. */
  readonly orphans?: readonly string[];
  /** The number of the identity that logged in, see {@link Sessions.replace}. */
  readonly identity: number;
  renewable: boolean;
  plan: RenewalPlan;
}

/** A session of a predecessor; {@link Sessions} assigns its numbers. */
export type ResumedSession = Omit<Session, 'id' | 'identity'>;

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
  /** For the first login: the pod cannot start before it. */
  readonly #firstBackoff: Backoff;
  /** For renewals and later logins, by the life of the session that is to be replaced. */
  readonly #backoff: Backoff;
  readonly #timer: WakeableTimer;
  readonly #current = new Latest<Session>();
  readonly #logins: Counter;
  readonly #renewals: Counter;
  /** Renewals in progress; their session may have been replaced meanwhile. */
  readonly #renewing = new Map<Session, Promise<void>>();
  #retired: Session[] = [];
  #login: Promise<Session> | undefined;
  #count = 0;
  /** The number of the current identity; a session of an older one is replaced at once. */
  #identity = 0;
  /** The last session, which may have become invalid. */
  #newest: Session | undefined;
  #lastError: VouchsafeError | undefined;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { random } = options;
    this.#firstBackoff = createBackoff({ ...START_WAITS, random });
    const maxMs = (): number => this.#longestWaitMs();
    this.#backoff = createBackoff({ ...LIFE_WAITS, maxMs, random });
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
    return this.#retired.filter(({ plan }) => plan.expiresAtMs > now);
  }

  /** The number of logins in this pod, including those of predecessors. */
  get count(): number {
    return this.#count;
  }

  /** Why the last login failed, until one succeeds; an older session may still be valid. */
  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  /** Each session that becomes the current one. */
  updates(signal: AbortSignal): AsyncIterable<Session> {
    return this.#current.updates(signal);
  }

  /** Resumes the session of a predecessor. */
  resume(session: ResumedSession, logins: number): Session {
    this.#count = logins;
    const resumed = { ...session, id: logins, identity: this.#identity };
    this.#newest = resumed;
    this.#current.set(resumed);
    return resumed;
  }

  /** Takes over sessions that a predecessor could not revoke; nothing is read with them. */
  adopt(sessions: readonly ResumedSession[]): void {
    const adopted = sessions.map((session, index) => ({
      ...session,
      ...{ id: -index, identity: this.#identity },
    }));
    this.#retired = [...this.#retired, ...adopted];
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
    const { current } = this;
    // A request with an expired token costs Vault two responses and brings nothing.
    const isOver = current === undefined || this.#leftMs(current) <= 0;
    if (isOver && this.#count > 0 && this.#lastError !== undefined) throw this.#lastError;
    return current ?? (await raceAbort(this.#sharedLogin(signal), signal));
  }

  /** Called when Vault rejects the session's token as invalid. */
  invalidate(session: Session): void {
    this.forget(session);
    if (this.current !== session) return;
    this.#options.logger.warn('vault token is no longer valid', { session: session.id });
    if (this.#age(session) >= YOUNG_SESSION_MS) this.#backoff.reset();
    this.#current.clear();
    this.#options.onChange();
    this.#timer.wake();
  }

  /**
   * Logs in again now, because the identity behind the current session has changed. A renewal in progress does not
   * delay that, and a login in progress with the old identity is followed by another one.
   */
  replace(): void {
    this.#identity += 1;
    this.#timer.wake();
  }

  /** Removes a retired session after its revocation. */
  forget(session: Session): void {
    if (!this.#retired.includes(session)) return;
    this.#retired = this.#retired.filter((other) => other !== session);
    this.#options.onChange();
  }

  /** Removes a session after the final revocation; no login follows. */
  end(session: Session): void {
    this.forget(session);
    if (this.current === session) this.#current.clear();
  }

  /** Renews the current session and replaces it before it ends or when it is lost, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for await (const session of this.#current.updates(signal)) {
        await this.#keep(session, signal);
        // An invalid token invalidates its leases, so the next login does not wait for a read.
        if (this.current === undefined) await raceAbort(this.#sharedLogin(signal), signal);
      }
    } finally {
      await Promise.all(this.#renewing.values());
    }
  }

  async #keep(session: Session, signal: AbortSignal): Promise<void> {
    while (this.current === session) {
      await this.#timer.waitUntil(this.#next(session).atMs, signal);
      if (this.current !== session) return;
      const { action, atMs } = this.#next(session);
      if (this.#options.clock.monotonicMs() < atMs) continue;
      if (action === 'renew') this.#startRenewal(session, signal);
      else await this.#sharedLogin(signal);
    }
  }

  /** The next step of the current session, and when it is due. */
  #next(session: Session): Pick<RenewalPlan, 'action' | 'atMs'> {
    if (session.identity !== this.#identity) {
      return { action: 'fetch', atMs: this.#options.clock.monotonicMs() };
    }
    // The end of the renewal wakes the timer.
    return this.#renewing.has(session) ? { action: 'renew', atMs: Infinity } : session.plan;
  }

  /** Not awaited, so that other events of the session do not wait for Vault's response. */
  #startRenewal(session: Session, signal: AbortSignal): void {
    const renewal = this.#renew(session, signal).finally(() => {
      this.#renewing.delete(session);
      this.#timer.wake();
    });
    this.#renewing.set(session, renewal);
  }

  /** Never rejects. */
  async #renew(session: Session, signal: AbortSignal): Promise<void> {
    const { clock, logger, vault, onChange } = this.#options;
    try {
      const grant = await vault.renewToken(session.token, signal);
      this.#renewals.add({ result: 'ok' });
      // Also if the session has been replaced meanwhile, because its token now lives longer.
      session.renewable = grant.renewable;
      session.plan = this.#plan(grant, session.fullTtlMs);
      if (this.current === session) this.#backoff.reset();
      logger.debug('vault token renewed', { session: session.id, ttl_ms: grant.ttlMs });
      onChange();
    } catch (caught) {
      if (signal.aborted) return;
      const error = toVouchsafeError(caught);
      this.#renewals.add({ result: error.code });
      if (hasCode(error, 'ERR_VAULT_TOKEN_INVALID')) this.invalidate(session);
      if (this.current !== session) return;
      logger.warn('vault token was not renewed', { session: session.id, error });
      const nextMs = clock.monotonicMs() + this.#backoff.nextMs(error.retryAfterMs);
      const lastMs = lastRenewalMs(session.plan.expiresAtMs, session.fullTtlMs);
      const isLate = nextMs >= lastMs;
      session.plan = {
        ...session.plan,
        action: isLate ? 'fetch' : 'renew',
        atMs: isLate ? Math.max(clock.monotonicMs() + (error.retryAfterMs ?? 0), lastMs) : nextMs,
      };
    }
  }

  #sharedLogin(signal: AbortSignal): Promise<Session> {
    this.#login ??= this.#logIn(signal).finally(() => (this.#login = undefined));
    return this.#login;
  }

  async #logIn(signal: AbortSignal): Promise<Session> {
    const { clock, logger, onChange } = this.#options;
    if (this.#count > 0 && this.current === undefined) {
      await clock.sleep(this.#backoff.nextMs(), signal);
    }
    let identity = this.#identity;
    const login = (): Promise<VaultToken> => {
      identity = this.#identity;
      return this.#options.login(signal);
    };
    const token = await retry(login, {
      backoff: this.#count === 0 ? this.#firstBackoff : this.#backoff,
      clock,
      signal,
      shouldRetry: (error) => error.retry !== 'never' || this.#count > 0,
      onFailure: (error, waitMs) => {
        this.#logins.add({ result: error.code });
        if (this.#lastError?.code !== error.code) {
          logger[error.level]('login to vault failed', { error, retry_in_ms: Math.round(waitMs) });
        }
        this.#lastError = error;
      },
    });
    this.#lastError = undefined;
    this.#count += 1;
    this.#logins.add({ result: 'ok' });
    const session: Session = {
      id: this.#count,
      token: token.token,
      startedAtMs: clock.monotonicMs(),
      fullTtlMs: token.ttlMs,
      isBatch: token.type === 'batch',
      identity,
      renewable: token.renewable,
      plan: this.#firstPlan(token),
    };
    this.#newest = session;
    logger.info('logged in to vault', { session: session.id, ttl_ms: token.ttlMs });
    if (token.numUses > 0) {
      logger.warn('vault token has a limited number of uses; set token_num_uses of the role to 0', {
        session: session.id,
        uses: token.numUses,
      });
    }
    // Make before break: the old session stays in use until the new one is set.
    if (this.current !== undefined && this.#age(this.current) >= YOUNG_SESSION_MS) {
      this.#backoff.reset();
    }
    if (this.current !== undefined) this.#retired = [...this.retired, this.current];
    this.#current.set(session);
    this.#options.save?.();
    onChange();
    this.#timer.wake();
    return session;
  }

  #firstPlan(token: VaultToken): RenewalPlan {
    const { clock, random } = this.#options;
    const plan = this.#plan(token, token.ttlMs);
    return spreadFirst(plan, { monotonicMs: clock.monotonicMs(), random });
  }

  #plan(
    grant: { readonly ttlMs: number; readonly renewable: boolean },
    fullMs: number,
  ): RenewalPlan {
    const { clock, random } = this.#options;
    // TTL 0 means without expiry only at the login; a renewal that grants 0 means the end.
    if (fullMs === 0) return { action: 'fetch', atMs: Infinity, expiresAtMs: Infinity };
    return planLease({ durationMs: grant.ttlMs, renewable: grant.renewable }, fullMs, {
      monotonicMs: clock.monotonicMs(),
      wallMs: clock.now(),
      random,
      refreshMs: 0,
    });
  }

  #longestWaitMs(): number {
    const session = this.#newest;
    if (session === undefined) return START_WAITS.maxMs;
    return longestWaitMs(session.fullTtlMs || Infinity, this.#leftMs(session));
  }

  #leftMs({ plan }: Session): number {
    return plan.expiresAtMs - this.#options.clock.monotonicMs();
  }

  #age(session: Session): number {
    return this.#options.clock.monotonicMs() - session.startedAtMs;
  }
}
