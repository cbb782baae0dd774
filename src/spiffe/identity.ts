/**
 * The workload's identity: one of its SVIDs; the X.509-SVID is kept up to date.
 */
import {
  NO_LOGGER,
  NO_METRICS,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Counter,
  type Gauge,
  type Logger,
  type Metrics,
  type Random,
  type SpiffeId,
} from '../core/index.ts';
import { createBackoff, Latest, runAll, type Backoff } from '../async/index.ts';
import type { JwtSvid } from './jwt-svid.ts';
import type { SvidApi, X509Context } from './svid-api.ts';
import type { X509Svid } from './x509-svid.ts';

/** Waits between failing streams: 1 s, growing to 30 s. */
const BACKOFF = { minMs: 1000, maxMs: 30_000 } as const;

/** After a stream that lasted this long and delivered a value, the next one is opened immediately. */
const STEADY_MS = 1000;

/** SPIRE replaces an X.509-SVID at half of its lifetime; silence until three quarters of it means a dead stream. */
const SILENCE_SHARE = 0.75;
/** Shortest silence after which a stream is given up. */
const MIN_SILENCE_MS = 60_000;

/** The chosen X.509-SVID and the federated bundles. */
export interface X509Identity {
  readonly svid: X509Svid;
  /** `spiffe://trust-domain` -> its authorities, DER. */
  readonly federatedBundles: ReadonlyMap<string, readonly Uint8Array[]>;
}

/** Without `spiffeId` and `hint` the first SVID is chosen. */
export interface IdentityOptions {
  /** The Workload API, or an API on behalf of another workload. */
  readonly api: SvidApi;
  readonly spiffeId?: string | undefined;
  readonly hint?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** The workload's identity. */
export interface Identity {
  /**
   * A new JWT-SVID for all `audiences`; one attempt, never cached. Rejects with the errors of
   * {@link SvidApi} and with `ERR_SPIFFE_NO_MATCH`.
   */
  jwtSvid(audiences: readonly string[], signal: AbortSignal): Promise<JwtSvid>;
  /** The newest X.509-SVID; waits until there is one that has not expired. Requires {@link run}. */
  x509Svid(signal: AbortSignal): Promise<X509Identity>;
  /** The newest X.509-SVID, then each change. Requires {@link run}. */
  x509Updates(signal: AbortSignal): AsyncIterable<X509Identity>;
  /**
   * Keeps the X.509-SVID up to date until aborted. Rejects only with errors that a retry cannot fix:
   * `ERR_SPIFFE_REJECTED` and `ERR_SPIFFE_UNIMPLEMENTED`; pending waits for an X.509-SVID reject with them, too.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Why there is no (newer) X.509-SVID; undefined while there is no problem. */
  readonly lastError: VouchsafeError | undefined;
}

/** Creates the identity; it makes no call until it is used. */
export function createIdentity(options: IdentityOptions): Identity {
  return new WorkloadIdentity(options);
}

class WorkloadIdentity implements Identity {
  readonly #options: IdentityOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #latest = new Latest<X509Identity>();
  readonly #givenUp = new AbortController();
  readonly #failures: Counter;
  readonly #expiry: Gauge;
  #lastError: VouchsafeError | undefined;

  constructor(options: IdentityOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#logger = options.logger ?? NO_LOGGER;
    const metrics = options.metrics ?? NO_METRICS;
    this.#failures = metrics.counter(
      'vouchsafe_x509_svid_failures_total',
      'Failures to keep the X.509-SVID fresh, by error code.',
      ['code'],
    );
    this.#expiry = metrics.gauge(
      'vouchsafe_x509_svid_expiry_timestamp_seconds',
      'When the X.509-SVID in use expires; 0 while there is none.',
    );
  }

  get lastError(): VouchsafeError | undefined {
    return this.#lastError;
  }

  async jwtSvid(audiences: readonly string[], signal: AbortSignal): Promise<JwtSvid> {
    const { api, spiffeId } = this.#options;
    const request = spiffeId === undefined ? { audiences } : { audiences, spiffeId };
    return this.#choose(await api.fetchJwtSvids(request, signal));
  }

  async x509Svid(signal: AbortSignal): Promise<X509Identity> {
    for await (const identity of this.x509Updates(signal)) {
      if (identity.svid.expiresAtMs > this.#clock.now()) return identity;
    }
    throw signal.reason; // the updates end only by an abort
  }

  x509Updates(signal: AbortSignal): AsyncIterable<X509Identity> {
    return this.#latest.updates(AbortSignal.any([signal, this.#givenUp.signal]));
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#keepFresh(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #keepFresh(signal: AbortSignal): Promise<void> {
    const backoff = createBackoff({ ...BACKOFF, random: this.#options.random });
    while (!signal.aborted) {
      const isSteady = await this.#follow(backoff, signal);
      if (!isSteady) await this.#clock.sleep(backoff.nextMs(), signal);
    }
  }

  /** Reads one stream to its end; returns whether the next one may be opened immediately. */
  async #follow(backoff: Backoff, signal: AbortSignal): Promise<boolean> {
    const startedMs = this.#clock.monotonicMs();
    let isSteady = false;
    const receive = async (s: AbortSignal): Promise<void> => {
      const contexts = this.#options.api.watchX509Contexts(s, (error) => this.#fail(error));
      for await (const context of contexts) {
        isSteady = true;
        backoff.reset();
        this.#onContext(context);
      }
    };
    try {
      await runAll(signal, [receive, (s) => this.#endWhenSilent(s)]);
    } catch (caught) {
      isSteady &&= this.#clock.monotonicMs() - startedMs >= STEADY_MS;
      this.#onStreamEnd(toVouchsafeError(caught), isSteady);
    }
    return isSteady;
  }

  /** Fails when the server has not replaced an ageing SVID: half-open connections do not end by themselves. */
  async #endWhenSilent(signal: AbortSignal): Promise<void> {
    for (;;) {
      const { svid } = await this.#latest.wait(signal);
      const lifeMs = svid.expiresAtMs - svid.notBeforeMs;
      const leftMs = svid.notBeforeMs + lifeMs * SILENCE_SHARE - this.#clock.now();
      await this.#clock.sleep(Math.max(leftMs, MIN_SILENCE_MS), signal);
      if (this.#latest.current?.svid !== svid) continue;
      throw new VouchsafeError(
        'ERR_SPIFFE_UNAVAILABLE',
        `the Workload API has not replaced the X.509-SVID of ${svid.spiffeId.uri}, which will expire soon; reopening the stream`,
      );
    }
  }

  #onContext(context: X509Context): void {
    let svid: X509Svid;
    try {
      svid = this.#choose(context.svids);
    } catch (error) {
      this.#discardSvid(toVouchsafeError(error));
      return;
    }
    this.#lastError = undefined;
    const next = { svid, federatedBundles: context.federatedBundles };
    if (isSameIdentity(this.#latest.current, next)) return;
    this.#latest.set(next);
    this.#expiry.set(svid.expiresAtMs / 1000);
    this.#logger.info('x509-svid received', {
      spiffe_id: svid.spiffeId.uri,
      expires_at: new Date(svid.expiresAtMs).toISOString(),
    });
  }

  #onStreamEnd(error: VouchsafeError, isSteady: boolean): void {
    if (error.retry === 'never') {
      this.#fail(error);
      this.#givenUp.abort(error);
      throw error;
    }
    if (error.code === 'ERR_SPIFFE_DENIED') this.#discardSvid(error);
    else if (isSteady) this.#logger.debug('x509-svid stream ended', { error });
    else this.#fail(error);
  }

  /** An SVID that the server has withdrawn must not be used (Workload API, section 4.4). */
  #discardSvid(error: VouchsafeError): void {
    if (this.#latest.current !== undefined) {
      this.#latest.clear();
      this.#expiry.set(0);
    }
    this.#fail(error);
  }

  /** Logs a new problem at its level, and a repeated one at debug level. */
  #fail(error: VouchsafeError): void {
    const isNew = this.#lastError?.code !== error.code;
    this.#lastError = error;
    this.#failures.add({ code: error.code });
    this.#logger[isNew ? error.level : 'debug']('x509-svid was not refreshed', { error });
  }

  #choose<T extends { readonly spiffeId: SpiffeId; readonly hint: string }>(
    svids: readonly T[],
  ): T {
    const { spiffeId, hint } = this.#options;
    const chosen = svids.find(
      (svid) =>
        (spiffeId === undefined || svid.spiffeId.uri === spiffeId) &&
        (hint === undefined || svid.hint === hint),
    );
    if (chosen !== undefined) return chosen;
    const criteria = [
      ...(spiffeId === undefined ? [] : [`the SPIFFE ID ${spiffeId}`]),
      ...(hint === undefined ? [] : [`the hint "${hint}"`]),
    ];
    const present = svids.map((svid) => describe(svid)).slice(0, 16);
    throw new VouchsafeError(
      'ERR_SPIFFE_NO_MATCH',
      `the workload has no SVID${criteria.length > 0 ? ` with ${criteria.join(' and ')}` : ''}; it has ${present.join(', ') || 'none'}`,
    );
  }
}

function describe({ spiffeId, hint }: { spiffeId: SpiffeId; hint: string }): string {
  return hint === '' ? spiffeId.uri : `${spiffeId.uri} ("${hint.slice(0, 64)}")`;
}

/** A reopened stream repeats the same SVID; that must not cause a login or a delivery. */
function isSameIdentity(a: X509Identity | undefined, b: X509Identity): boolean {
  if (a === undefined) return false;
  const federated = [...b.federatedBundles];
  return (
    isSameList(a.svid.certificates, b.svid.certificates) &&
    isSameList(a.svid.bundle, b.svid.bundle) &&
    a.federatedBundles.size === federated.length &&
    federated.every(([id, bundle]) => isSameList(a.federatedBundles.get(id) ?? [], bundle))
  );
}

function isSameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return (
    a.length === b.length && a.every((item, index) => Buffer.compare(item, b[index] ?? item) === 0)
  );
}
