/**
 * A SPIFFE Workload API like that of SPIRE's agent, with registration entries set by the caller and with faults for
 * tests.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 */
import { status } from '@grpc/grpc-js';
import { decodeJwt, type JSONWebKeySet } from 'jose';
import { NO_LOGGER, spiffeIdProblem, type Logger } from '../../core/index.ts';
import { MESSAGES, METHODS, WORKLOAD_API, type Method } from '../../spiffe/index.ts';
import { FaultyService, type ServiceFault } from './faulty-service.ts';
import { StatusError } from './grpc-service.ts';
import { Issuer, type DevIdentity, type IssuerOptions, type MintedSvid } from './issuer.ts';
import type { TrustDomain } from './trust-domain.ts';

export interface WorkloadApiOptions extends IssuerOptions {
  /** `unix:///path/to.sock` or `tcp://127.0.0.1:0`; default: a socket in a temporary directory. */
  readonly address?: string;
  /** Identities of every caller. Default none: every call is denied with "no identity issued". */
  readonly identities?: readonly DevIdentity[];
  readonly logger?: Logger;
}

/** Starts a Workload API. The caller closes it. */
export async function startWorkloadApi(options: WorkloadApiOptions = {}): Promise<DevWorkloadApi> {
  const api = new DevWorkloadApi(options);
  await api.start(options.address);
  return api;
}

/** A running Workload API. Made by {@link startWorkloadApi}. */
export class DevWorkloadApi implements AsyncDisposable {
  readonly #issuer: Issuer;
  readonly #service: FaultyService<Method>;
  readonly #stop = new AbortController();
  #svids: readonly MintedSvid[];
  #rotation: Promise<void> = Promise.resolve();

  constructor(options: WorkloadApiOptions) {
    this.#issuer = new Issuer(options);
    this.#service = new FaultyService({
      protocol: WORKLOAD_API,
      answers: {
        unary: (method, request) =>
          method === 'FetchJWTSVID' ? this.#fetchJwtSvid(request) : this.#validateJwtSvid(request),
        state: (method) => this.#state(method),
      },
      clock: this.#issuer.clock,
      logger: options.logger ?? NO_LOGGER,
    });
    this.#svids = this.#issuer.mintX509Svids(options.identities ?? []);
  }

  /** Address for clients. */
  get address(): string {
    return this.#service.address;
  }

  /** Calls by method, including rejected ones. */
  get calls(): Readonly<Record<Method, number>> {
    return this.#service.calls;
  }

  /** How many streams are open. */
  get openStreams(): number {
    return this.#service.openStreams;
  }

  /** Replaces the registration entries, and updates open streams. */
  setIdentities(identities: readonly DevIdentity[]): void {
    this.#svids = this.#issuer.mintX509Svids(identities);
    this.#service.push();
  }

  /** Mints new X.509-SVIDs for all identities. */
  rotateX509(): void {
    this.setIdentities(this.#svids.map(({ identity }) => identity));
  }

  /** Signs JWT-SVIDs with a new key from now on; the old key stays in the bundle. */
  rotateJwtKey(): void {
    this.#issuer.own.tokens.rotate();
    this.#service.push();
  }

  /** Adds the bundles of a foreign trust domain; the result can mint SVIDs for it. */
  federate(trustDomain: string): TrustDomain {
    const foreign = this.#issuer.federate(trustDomain);
    this.#service.push();
    return foreign;
  }

  /** Takes the bundles of a foreign trust domain away. */
  endFederation(trustDomain: string): void {
    this.#issuer.endFederation(trustDomain);
    this.#service.push();
  }

  /** The JWT keys of the own trust domain, as in its SPIFFE bundle. */
  jwks(): JSONWebKeySet {
    return this.#issuer.own.jwks();
  }

  /** The X.509 authorities of the own trust domain. */
  bundlePem(): string {
    return this.#issuer.own.bundlePem;
  }

  /** A JWT-SVID for any identity, registered or not. */
  async mintJwtSvid(
    spiffeId: string,
    audiences: readonly string[],
    ttlMs?: number,
  ): Promise<string> {
    return await this.#issuer.mintJwtSvid(spiffeId, audiences, ttlMs);
  }

  /** Makes a call fail until it is set to undefined. */
  fault(method: Method, fault: ServiceFault | undefined): void {
    this.#service.fault(method, fault);
  }

  /** Ends all open streams normally. */
  dropStreams(): void {
    this.#service.dropStreams();
  }

  /** Used only by {@link startWorkloadApi}. */
  async start(address: string | undefined): Promise<void> {
    await this.#service.start(address);
    this.#rotation = this.#issuer.rotateAtHalfLife(() => this.rotateX509(), this.#stop.signal);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#rotation;
    await this.#service.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The message of a stream with the current state. */
  #state(method: Method): Uint8Array {
    if (this.#svids.length === 0) noIdentity();
    const { federatedBundles, x509Bundles, jwtBundles } = this.#issuer;
    switch (method) {
      case 'FetchX509SVID':
        return MESSAGES.X509SVIDResponse.encode({
          svids: this.#svids.map((svid) => this.#issuer.x509Entry(svid)),
          federatedBundles,
        });
      case 'FetchX509Bundles':
        return MESSAGES.X509BundlesResponse.encode({ bundles: x509Bundles });
      case 'FetchJWTBundles':
        return MESSAGES.JWTBundlesResponse.encode({ bundles: jwtBundles });
      default:
        throw new StatusError(status.INTERNAL, `${METHODS[method].response} is not of a stream`);
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
    const svids = await this.#issuer.mintJwtSvids(asked, request.audience);
    return MESSAGES.JWTSVIDResponse.encode({ svids });
  }

  async #validateJwtSvid(bytes: Uint8Array): Promise<Uint8Array> {
    const { audience, svid } = MESSAGES.ValidateJWTSVIDRequest.decode(bytes);
    if (audience === '') invalid('audience must be specified');
    if (svid === '') invalid('svid must be specified');
    try {
      const subject = decodeJwt(svid).sub ?? '';
      const domain = this.#issuer.domainOf(subject);
      if (domain === undefined) throw new Error('no bundle for the trust domain of the subject');
      const claims = await domain.verify(svid, audience);
      return MESSAGES.ValidateJWTSVIDResponse.encode({ spiffeId: subject, claims });
    } catch (error) {
      return invalid(error instanceof Error ? error.message : 'token is not valid');
    }
  }
}

function invalid(message: string): never {
  throw new StatusError(status.INVALID_ARGUMENT, message);
}

function noIdentity(): never {
  throw new StatusError(status.PERMISSION_DENIED, 'no identity issued');
}
