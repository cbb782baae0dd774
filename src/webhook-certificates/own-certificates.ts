/**
 * The webhook's own authority, in a Secret that all replicas share: each serves from it, the one that leads renews
 * it. Writes name the version they are based on, so that two leaders cannot undo each other.
 */
import {
  certificateLife,
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
  fieldsOf,
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

/** What {@link OwnCertificates} needs. */
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
  /** What the API server trusts now, PEM: a replica may serve by it although the Secret was lost. */
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

/** Dates are looked at this often: wall clocks jump. */
const CHECK_INTERVAL_MS = 60_000;
/** Another replica wrote: the watch tells what, unless it is late. */
const CONFLICT_RETRY_MS = 2000;
const RETRY = { minMs: 1000, maxMs: 30_000 } as const;
/** The watch of the Secret stands a little later than the lease is taken, and rings for nobody. */
const CATCH_UP_MS = 500;

/** Certificates of the webhook's own authority. */
export class OwnCertificates implements Certificates {
  readonly #options: OwnCertificatesOptions;
  readonly #logger: Logger;
  readonly #timer: WakeableTimer;
  readonly #backoff: Backoff;
  readonly #secret: Informer<StoredSecret>;
  readonly #lease: Lease;
  readonly #latest = new Latest<ServingCertificate>();
  readonly #authorityExpiry: Gauge;
  /** What was said last about each of the two: a Secret that serves says nothing about its renewal. */
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
      'When the authority of the webhook itself expires.',
    );
  }

  /** Whether this replica renews. */
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
          this.#serveStored(); // At once: a renewal under way may wait for the API.
          this.#timer.wake();
        }
      },
      async (inner) => {
        for (;;) {
          this.#serveStored(); // Authorities expire although nothing changes.
          const waitMs = await this.#renew(inner);
          await this.#timer.waitUntil(this.#options.clock.monotonicMs() + waitMs, inner);
        }
      },
    ]);
  }

  /** Serves from the Secret as long as it holds something to serve with. */
  #serveStored(): void {
    const texts = this.#secret.get(this.#options.secretName)?.texts.reveal();
    if (texts === undefined) {
      // Before the first one that is as it should be; later somebody deleted it.
      if (this.current !== undefined) {
        this.#logOnce('serve', 'the Secret of the certificates is not there', {});
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
      this.#logOnce('serve', 'the Secret of the certificates cannot be used', { error });
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

  /** Makes anew what is due, where this replica leads; returns how long to wait for the next look. */
  async #renew(signal: AbortSignal): Promise<number> {
    const { secretName, dnsName, clock, trusted } = this.#options;
    // A view that is not of now may lack what is there; writing by it would only fail.
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
      return CHECK_INTERVAL_MS; // The watch rings as soon as the new ones are seen.
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
    const kept = this.current === undefined ? 'none yet' : 'the last good one is served';
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
