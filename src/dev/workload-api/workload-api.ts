/**
 * A SPIFFE Workload API as a SPIRE agent serves it, with the registration entries set by hand, and with
 * faults for tests. Ring: dev.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { decodeJwt, type JSONWebKeySet } from 'jose';
import { NO_LOGGER, spiffeIdProblem, type Clock, type Logger } from '../../core/index.ts';
import { systemClock } from '../../platform/index.ts';
import { MESSAGES, METHODS, type Method } from '../../spiffe/index.ts';
import type { IssuedCertificate } from '../ca/index.ts';
import { listen, Refusal, type GrpcService, type OpenStream } from './grpc-service.ts';
import { TrustDomain } from './trust-domain.ts';

const DEFAULT_TRUST_DOMAIN = 'example.org';
const DEFAULT_JWT_TTL_MS = 5 * 60_000;
const DEFAULT_X509_TTL_MS = 3_600_000;

/** A registration entry that matches every caller. */
export interface DevIdentity {
  readonly spiffeId: string;
  readonly hint?: string;
  /** Names in the X.509-SVID; the first is its common name too, as with SPIRE. Default none. */
  readonly dnsNames?: readonly string[];
}

/** How a call misbehaves. Open streams of the method are touched as well. */
export type WorkloadApiFault =
  /** Refuses with a gRPC status code; ends open streams with it. */
  | { readonly kind: 'code'; readonly code: number; readonly message: string }
  /** Never answers; open streams get no more messages. */
  | { readonly kind: 'hang' }
  /** Answers unary calls this much later by the clock. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** Sends what is no protocol buffer. */
  | { readonly kind: 'garbage' }
  /** Sends exactly these bytes as the message. */
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  /** Ends streams normally, without a message; unary calls fail with `UNAVAILABLE`. */
  | { readonly kind: 'end' };

/** What {@link startWorkloadApi} may be told. */
export interface WorkloadApiOptions {
  /** `unix:///path/to.sock` or `tcp://127.0.0.1:0`; default a socket in a temporary directory. */
  readonly address?: string;
  /** Default `example.org`. */
  readonly trustDomain?: string;
  /** One that several of them serve, instead of one of its own. */
  readonly domain?: TrustDomain;
  /** Default none: every call is answered with "no identity issued". */
  readonly identities?: readonly DevIdentity[];
  /** Default 5 minutes, as SPIRE's. */
  readonly jwtTtlMs?: number;
  /** Default one hour, as SPIRE's. SVIDs rotate by themselves at half of it. */
  readonly x509TtlMs?: number;
  /** `iss` of JWT-SVIDs; default none, as SPIRE without `jwt_issuer`. */
  readonly jwtIssuer?: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** A trust domain for {@link WorkloadApiOptions.domain}. */
export function createTrustDomain(name: string, clock: Clock = systemClock): TrustDomain {
  return new TrustDomain(name, clock);
}

/** Starts a Workload API. The caller closes it. */
export async function startWorkloadApi(options: WorkloadApiOptions = {}): Promise<DevWorkloadApi> {
  const directory =
    options.address === undefined ? await mkdtemp(join(tmpdir(), 'vouchsafe-spiffe-')) : undefined;
  const address = options.address ?? `unix://${directory ?? ''}/api.sock`;
  const api = new DevWorkloadApi(options);
  await api.start(address, directory);
  return api;
}

/** A running Workload API. Made by {@link startWorkloadApi}. */
export class DevWorkloadApi implements AsyncDisposable {
  /** Calls by method, refused ones included. */
  readonly calls: Record<Method, number> = {
    FetchX509SVID: 0,
    FetchX509Bundles: 0,
    FetchJWTSVID: 0,
    FetchJWTBundles: 0,
    ValidateJWTSVID: 0,
  };

  readonly #options: WorkloadApiOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #own: TrustDomain;
  readonly #federated = new Map<string, TrustDomain>();
  readonly #faults = new Map<Method, WorkloadApiFault>();
  readonly #streams = new Set<OpenStream>();
  readonly #stop = new AbortController();
  #svids: readonly { readonly identity: DevIdentity; readonly svid: IssuedCertificate }[] = [];
  #service: GrpcService | undefined;
  #rotation: Promise<void> = Promise.resolve();
  #directory: string | undefined;

  constructor(options: WorkloadApiOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? NO_LOGGER;
    this.#own =
      options.domain ?? createTrustDomain(options.trustDomain ?? DEFAULT_TRUST_DOMAIN, this.#clock);
    this.#mintX509Svids(options.identities ?? []);
  }

  /** Address for clients. */
  get address(): string {
    return this.#service?.address ?? '';
  }

  /** How many streams are open. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /** Replaces the registration entries; open streams see it at once. */
  setIdentities(identities: readonly DevIdentity[]): void {
    this.#mintX509Svids(identities);
    this.#push();
  }

  /** Mints new X.509-SVIDs for all identities. */
  rotateX509(): void {
    this.setIdentities(this.#svids.map(({ identity }) => identity));
  }

  /** Signs JWT-SVIDs with a new key from now on; the old key stays in the bundle. */
  rotateJwtKey(): void {
    this.#own.tokens.rotate();
    this.#push();
  }

  /** Adds the bundles of a foreign trust domain, which the answer can mint SVIDs for. */
  federate(trustDomain: string): TrustDomain {
    const foreign = createTrustDomain(trustDomain, this.#clock);
    this.#federated.set(foreign.id, foreign);
    this.#push();
    return foreign;
  }

  /** The JWT keys of the own trust domain, as in its SPIFFE bundle. */
  jwks(): JSONWebKeySet {
    return this.#own.jwks();
  }

  /** The X.509 authorities of the own trust domain. */
  bundlePem(): string {
    return this.#own.bundlePem;
  }

  /** A JWT-SVID for any identity, registered or not. */
  async mintJwtSvid(
    spiffeId: string,
    audiences: readonly string[],
    ttlMs = this.#options.jwtTtlMs ?? DEFAULT_JWT_TTL_MS,
  ): Promise<string> {
    const issuer = this.#options.jwtIssuer;
    return await this.#own.tokens.mint({ issuer, subject: spiffeId, audience: audiences, ttlMs });
  }

  /** Makes a call misbehave until it is set to undefined. */
  fault(method: Method, fault: WorkloadApiFault | undefined): void {
    if (fault === undefined) this.#faults.delete(method);
    else this.#faults.set(method, fault);
    this.#push(method);
  }

  /** Ends all open streams normally. */
  dropStreams(): void {
    for (const stream of this.#streams) stream.end();
  }

  /** Used by {@link startWorkloadApi} alone. `ownDirectory` is removed at the end. */
  async start(address: string, ownDirectory: string | undefined): Promise<void> {
    this.#directory = ownDirectory;
    this.#service = await listen(address, {
      onCall: (method) => {
        this.calls[method] += 1;
        this.#logger.debug('workload api call', { method });
      },
      answer: (method, request) => this.#answer(method, request),
      onStream: (stream) => {
        this.#streams.add(stream);
        this.#deliver(stream);
      },
      onStreamClosed: (stream) => void this.#streams.delete(stream),
    });
    this.#rotation = this.#rotateAtHalfLife(this.#stop.signal);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#rotation;
    await this.#service?.close();
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #x509TtlMs(): number {
    return this.#options.x509TtlMs ?? DEFAULT_X509_TTL_MS;
  }

  #mintX509Svids(identities: readonly DevIdentity[]): void {
    this.#svids = identities.map((identity) => ({
      identity,
      svid: this.#own.mintX509Svid(identity, this.#x509TtlMs),
    }));
  }

  async #rotateAtHalfLife(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#clock.sleep(this.#x509TtlMs / 2, signal);
      } catch {
        return; // closed
      }
      this.rotateX509();
    }
  }

  #push(method?: Method): void {
    for (const stream of this.#streams) {
      if (method === undefined || stream.method === method) this.#deliver(stream);
    }
  }

  #deliver(stream: OpenStream): void {
    try {
      const message = this.#faulty(stream.method) ?? this.#state(stream.method);
      if (message === 'end') stream.end();
      else if (message !== 'hang') stream.send(message);
    } catch (error) {
      stream.end(error instanceof Refusal ? error : new Refusal(status.INTERNAL, 'internal error'));
    }
  }

  async #answer(method: Method, request: Uint8Array): Promise<Uint8Array> {
    const fault = this.#faults.get(method);
    if (fault?.kind === 'delay') await this.#clock.sleep(fault.delayMs, this.#stop.signal);
    const message = this.#faulty(method);
    if (message === 'end') throw new Refusal(status.UNAVAILABLE, 'shutting down');
    if (message === 'hang') return await Promise.withResolvers<Uint8Array>().promise;
    if (message !== undefined) return message;
    return method === 'FetchJWTSVID'
      ? await this.#fetchJwtSvid(request)
      : await this.#validateJwtSvid(request);
  }

  #faulty(method: Method): Uint8Array | 'hang' | 'end' | undefined {
    const fault = this.#faults.get(method);
    switch (fault?.kind) {
      case 'code':
        throw new Refusal(fault.code, fault.message);
      case 'garbage':
        return Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x7f]);
      case 'message':
        return fault.bytes;
      case 'hang':
      case 'end':
        return fault.kind;
      case 'delay':
      case undefined:
        return undefined;
    }
  }

  /** The message of a stream that tells the present state. */
  #state(method: Method): Uint8Array {
    this.#requireIdentity();
    const federated = [...this.#federated.values()];
    const all = [this.#own, ...federated];
    switch (method) {
      case 'FetchX509SVID':
        return MESSAGES.X509SVIDResponse.encode({
          svids: this.#svids.map(({ identity, svid }) => ({
            spiffeId: identity.spiffeId,
            x509Svid: svid.der,
            x509SvidKey: svid.keyDer,
            bundle: this.#own.bundleDer,
            hint: identity.hint ?? '',
          })),
          federatedBundles: new Map(federated.map((domain) => [domain.id, domain.bundleDer])),
        });
      case 'FetchX509Bundles':
        return MESSAGES.X509BundlesResponse.encode({
          bundles: new Map(all.map((domain) => [domain.id, domain.bundleDer])),
        });
      case 'FetchJWTBundles':
        return MESSAGES.JWTBundlesResponse.encode({
          bundles: new Map(all.map((d) => [d.id, Buffer.from(JSON.stringify(d.jwks()))])),
        });
      default:
        throw new Refusal(status.INTERNAL, `${METHODS[method].response} is not of a stream`);
    }
  }

  async #fetchJwtSvid(bytes: Uint8Array): Promise<Uint8Array> {
    const request = MESSAGES.JWTSVIDRequest.decode(bytes);
    if (request.audience.length === 0) invalid('audience must be specified');
    if (request.spiffeId !== '' && spiffeIdProblem(request.spiffeId) !== undefined) {
      invalid(`invalid requested SPIFFE ID: ${request.spiffeId}`);
    }
    const isAsked = (id: string): boolean => request.spiffeId === '' || request.spiffeId === id;
    const identities = this.#svids.map((entry) => entry.identity);
    const asked = identities.filter((identity) => isAsked(identity.spiffeId));
    if (asked.length === 0) noIdentity();
    const svids = asked.map(async ({ spiffeId, hint = '' }) => ({
      spiffeId,
      svid: await this.mintJwtSvid(spiffeId, request.audience),
      hint,
    }));
    return MESSAGES.JWTSVIDResponse.encode({ svids: await Promise.all(svids) });
  }

  async #validateJwtSvid(bytes: Uint8Array): Promise<Uint8Array> {
    const { audience, svid } = MESSAGES.ValidateJWTSVIDRequest.decode(bytes);
    if (audience === '') invalid('audience must be specified');
    if (svid === '') invalid('svid must be specified');
    try {
      const subject = decodeJwt(svid).sub ?? '';
      const domain = this.#domainOf(subject);
      if (domain === undefined) throw new Error('no bundle for the trust domain of the subject');
      const claims = await domain.verify(svid, audience);
      return MESSAGES.ValidateJWTSVIDResponse.encode({ spiffeId: subject, claims });
    } catch (error) {
      return invalid(error instanceof Error ? error.message : 'token is not valid');
    }
  }

  #domainOf(spiffeId: string): TrustDomain | undefined {
    if (spiffeIdProblem(spiffeId) !== undefined) return undefined;
    const id = /^spiffe:\/\/[^/]+/.exec(spiffeId)?.[0] ?? '';
    return id === this.#own.id ? this.#own : this.#federated.get(id);
  }

  #requireIdentity(): void {
    if (this.#svids.length === 0) noIdentity();
  }
}

function invalid(message: string): never {
  throw new Refusal(status.INVALID_ARGUMENT, message);
}

function noIdentity(): never {
  throw new Refusal(status.PERMISSION_DENIED, 'no identity issued');
}
