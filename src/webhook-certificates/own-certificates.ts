/**
 * The webhook's own CA, in a Secret that all replicas share: each serves from it, and the leader renews it. Writes are
 * conditional on the version that was read, so that two leaders cannot overwrite each other.
 */
import {
  certificateLife,
  fieldsOf,
  NO_LOGGER,
  NO_METRICS,
  Secret,
  toVouchsafeError,
  type Clock,
  type Gauge,
  type Logger,
  type Metrics,
  type Random,
} from '../core/index.ts';
import { createBackoff, Latest, runAll, WakeableTimer, type Backoff } from '../async/index.ts';
import {
  Informer,
  isConflict,
  Lease,
  type ApiObject,
  type KubernetesApi,
} from '../kubernetes/index.ts';
import {
  parseServingCertificate,
  type Certificates,
  type ServingCertificate,
} from './file-certificates.ts';
import {
  decideRenewal,
  KEYS,
  readStored,
  renewedTexts,
  trustedAuthorities,
  type Lifetimes,
  type SecretTexts,
} from './certificate-secret.ts';
import { readBundle } from './ca-bundle.ts';

export interface OwnCertificatesOptions extends Lifetimes {
  readonly api: KubernetesApi;
  /** Namespace of Secret and Lease. */
  readonly namespace: string;
  readonly secretName: string;
  readonly leaseName: string;
  /** This replica: the name of its pod. */
  readonly identity: string;
  /** The DNS name of the service. */
  readonly dnsName: string;
  /** The CAs that the API server trusts now, PEM: after a loss of the Secret, replicas may still serve by them. */
  readonly trusted: () => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

interface StoredSecret {
  readonly version: string;
  readonly texts: Secret<SecretTexts>;
}

/** Expiry is checked at this interval, because wall clocks jump. */
const CHECK_INTERVAL_MS = 60_000;
/** Wait after a conflict; usually the watch reports the other write earlier. */
const CONFLICT_RETRY_MS = 2000;
const RETRY = { minMs: 1000, maxMs: 30_000 } as const;
/** Wait while the watch of the Secret is not open yet; its opening is not an event. */
const CATCH_UP_MS = 500;

/** Certificates of the webhook's own CA. */
export class OwnCertificates implements Certificates {
  readonly #options: OwnCertificatesOptions;
  readonly #logger: Logger;
  readonly #timer: WakeableTimer;
  readonly #backoff: Backoff;
  readonly #secret: Informer<StoredSecret>;
  readonly #lease: Lease;
  readonly #latest = new Latest<ServingCertificate>();
  readonly #authorityExpiry: Gauge;
  /** The last problem that was logged, separately for serving and for renewing. */
  readonly #problems = new Map<'serve' | 'renew', string>();

  constructor(options: OwnCertificatesOptions) {
    const { api, clock, random, logger = NO_LOGGER, metrics = NO_METRICS } = options;
    this.#options = options;
    this.#logger = logger;
    this.#timer = new WakeableTimer(clock);
    this.#backoff = createBackoff({ ...RETRY, random });
    const common = { api, clock, random, logger };
    this.#secret = new Informer({
      ...common,
      collection: this.#collection(),
      name: options.secretName,
      read: readSecret,
    });
    this.#lease = new Lease({
      ...common,
      namespace: options.namespace,
      name: options.leaseName,
      identity: options.identity,
      onChange: () => this.#timer.wake(),
      metrics,
    });
    this.#authorityExpiry = metrics.gauge(
      'vouchsafe_certificate_authority_expiry_timestamp_seconds',
      'Expiry of the CA of the webhook with certificate.mode own, in seconds since the epoch.',
    );
  }

  /** Whether this replica is the leader, which renews. */
  get isLeader(): boolean {
    return this.#lease.isHeld;
  }

  get current(): ServingCertificate | undefined {
    return this.#latest.current;
  }

  first(signal: AbortSignal): Promise<ServingCertificate> {
    return this.#latest.wait(signal);
  }

  updates(signal: AbortSignal): AsyncIterable<ServingCertificate> {
    return this.#latest.updates(signal);
  }

  async run(signal: AbortSignal): Promise<void> {
    await runAll(signal, [
      (inner) => this.#secret.run(inner),
      (inner) => this.#lease.run(inner),
      async (inner) => {
        for await (const _ of this.#secret.changes(inner)) {
          this.#serveStored(); // At once: a renewal under way may be waiting for the API server.
          this.#timer.wake();
        }
      },
      async (inner) => {
        for (;;) {
          this.#serveStored(); // CAs expire without a change of the Secret.
          const waitMs = await this.#renew(inner);
          await this.#timer.waitUntil(this.#options.clock.monotonicMs() + waitMs, inner);
        }
      },
    ]);
  }

  /** Publishes the certificate in the Secret if it is valid; otherwise keeps the current one. */
  #serveStored(): void {
    const texts = this.#secret.get(this.#options.secretName)?.texts.reveal();
    if (texts === undefined) {
      // Expected before the first certificate; later the Secret was deleted.
      if (this.current !== undefined) {
        this.#logOnce('serve', 'the Secret with the certificates is missing', {});
      }
      return;
    }
    try {
      const certificate = parseServingCertificate(
        texts[KEYS.certificate] ?? '',
        new Secret(texts[KEYS.key] ?? ''),
        trustedAuthorities(texts, this.#options.clock.now()),
        this.#options.dnsName,
      );
      this.#problems.delete('serve');
      this.#publish(certificate);
    } catch (caught) {
      const error = toVouchsafeError(caught);
      this.#logOnce('serve', 'the Secret with the certificates is invalid', { error });
    }
  }

  #publish(certificate: ServingCertificate): void {
    const { certificatePem, caPem = '' } = certificate;
    const { current } = this;
    if (current?.certificatePem === certificatePem && current.caPem === caPem) return;
    this.#latest.set(certificate);
    const [authority] = readBundle(caPem);
    const expiresAtMs = authority === undefined ? 0 : certificateLife(authority.x509).toMs;
    this.#authorityExpiry.set(expiresAtMs / 1000);
  }

  /** Renews what is due, if this replica is the leader; returns the time until the next check, in milliseconds. */
  async #renew(signal: AbortSignal): Promise<number> {
    const { secretName, dnsName, clock, trusted } = this.#options;
    // A stale view would only lead to a conflict.
    if (!this.#lease.isHeld) return CHECK_INTERVAL_MS;
    if (this.#secret.ageMs > 0) return CATCH_UP_MS;
    const found = this.#secret.get(secretName);
    const stored = readStored(found?.texts.reveal() ?? {});
    const nowMs = clock.now();
    const { renew, why } = decideRenewal(stored, this.#options, { dnsName, nowMs });
    if (renew === 'nothing') return CHECK_INTERVAL_MS;
    const known = readBundle((this.current?.caPem ?? '') + trusted());
    const texts = renewedTexts(stored, renew, this.#options, { dnsName, nowMs, known });
    try {
      await this.#write(found, texts, signal);
      this.#logger.info('certificates renewed', { what: renew, why });
      this.#backoff.reset();
      this.#problems.delete('renew');
      return CHECK_INTERVAL_MS; // The watch wakes this up as soon as it sees the new ones.
    } catch (caught) {
      signal.throwIfAborted();
      if (isConflict(caught)) return CONFLICT_RETRY_MS;
      const error = toVouchsafeError(caught);
      this.#logOnce('renew', 'certificates cannot be renewed', { error, what: renew, why });
      return this.#backoff.nextMs();
    }
  }

  async #write(
    found: StoredSecret | undefined,
    texts: SecretTexts,
    signal: AbortSignal,
  ): Promise<void> {
    const { api, secretName: name, namespace } = this.#options;
    const entries = Object.entries(texts).map(
      ([key, text]) => [key, Buffer.from(text).toString('base64')] as const,
    );
    const data = Object.fromEntries(entries);
    if (found === undefined) {
      const kind = { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls' };
      const body = { ...kind, metadata: { name, namespace }, data };
      await api.send({ method: 'POST', path: this.#collection(), body }, signal);
      return;
    }
    const path = `${this.#collection()}/${name}`;
    const body = { metadata: { resourceVersion: found.version }, data };
    await api.send({ method: 'PATCH', path, body }, signal);
  }

  #logOnce(
    about: 'serve' | 'renew',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    const { error } = fields;
    const problem = `${message} ${error instanceof Error ? error.message : ''}`;
    if (problem === this.#problems.get(about)) return;
    this.#problems.set(about, problem);
    const kept = this.current === undefined ? 'none yet' : 'the last valid one is served';
    this.#logger.warn(message, { ...fields, secret: this.#options.secretName, certificate: kept });
  }

  #collection(): string {
    return `/api/v1/namespaces/${this.#options.namespace}/secrets`;
  }
}

function readSecret(object: ApiObject): StoredSecret {
  const entries = Object.entries(fieldsOf(object['data'])).map(
    ([key, value]) =>
      [key, typeof value === 'string' ? Buffer.from(value, 'base64').toString() : ''] as const,
  );
  const texts = new Secret<SecretTexts>(Object.fromEntries(entries));
  return { version: object.metadata.resourceVersion ?? '', texts };
}
