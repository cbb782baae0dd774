/**
 * Mints SVIDs for a development server, with its trust domain, federated trust domains and lifetimes.
 */
import { spiffeIdProblem, type Clock } from '../../core/index.ts';
import { systemClock } from '../../platform/index.ts';
import type { IssuedCertificate } from '../ca/index.ts';
import { TrustDomain } from './trust-domain.ts';

const DEFAULT_TRUST_DOMAIN = 'example.org';
const DEFAULT_JWT_TTL_MS = 5 * 60_000;
const DEFAULT_X509_TTL_MS = 3_600_000;

/** An identity of a registration entry. */
export interface DevIdentity {
  readonly spiffeId: string;
  readonly hint?: string;
  /** DNS SANs of the X.509-SVID; the first is also its common name, as with SPIRE. Default none. */
  readonly dnsNames?: readonly string[];
}

export interface IssuerOptions {
  /** Default `example.org`. */
  readonly trustDomain?: string;
  /** A trust domain shared by several servers. Default: its own. */
  readonly domain?: TrustDomain;
  /** Default 5 minutes, as SPIRE's. */
  readonly jwtTtlMs?: number;
  /** Default one hour, as SPIRE's. SVIDs rotate by themselves at half of it. */
  readonly x509TtlMs?: number;
  /** `iss` of JWT-SVIDs; default none, as SPIRE without `jwt_issuer`. */
  readonly jwtIssuer?: string;
  readonly clock?: Clock;
}

/** An X.509-SVID of an identity. */
export interface MintedSvid {
  readonly identity: DevIdentity;
  readonly svid: IssuedCertificate;
}

/** The same as the fields of a message. */
export interface X509Entry {
  readonly spiffeId: string;
  readonly x509Svid: Uint8Array;
  readonly x509SvidKey: Uint8Array;
  readonly bundle: Uint8Array;
  readonly hint: string;
}

/** Mints SVIDs and publishes bundles. */
export class Issuer {
  readonly own: TrustDomain;
  readonly clock: Clock;
  readonly #options: IssuerOptions;
  readonly #x509TtlMs: number;
  readonly #federated = new Map<string, TrustDomain>();

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.#x509TtlMs = options.x509TtlMs ?? DEFAULT_X509_TTL_MS;
    this.own =
      options.domain ?? createTrustDomain(options.trustDomain ?? DEFAULT_TRUST_DOMAIN, this.clock);
  }

  federate(trustDomain: string): TrustDomain {
    const foreign = createTrustDomain(trustDomain, this.clock);
    this.#federated.set(foreign.id, foreign);
    return foreign;
  }

  endFederation(trustDomain: string): void {
    this.#federated.delete(`spiffe://${trustDomain}`);
  }

  mintX509Svids(identities: readonly DevIdentity[]): readonly MintedSvid[] {
    return identities.map((identity) => ({
      identity,
      svid: this.own.mintX509Svid(identity, this.#x509TtlMs),
    }));
  }

  /** An X.509-SVID as in messages of the Workload API and the Broker API. */
  x509Entry({ identity, svid }: MintedSvid): X509Entry {
    return {
      spiffeId: identity.spiffeId,
      x509Svid: svid.der,
      x509SvidKey: svid.keyDer,
      bundle: this.own.bundleDer,
      hint: identity.hint ?? '',
    };
  }

  async mintJwtSvid(
    spiffeId: string,
    audiences: readonly string[],
    ttlMs = this.#options.jwtTtlMs ?? DEFAULT_JWT_TTL_MS,
  ): Promise<string> {
    const issuer = this.#options.jwtIssuer;
    return await this.own.tokens.mint({ issuer, subject: spiffeId, audience: audiences, ttlMs });
  }

  /** One JWT-SVID for each identity. */
  async mintJwtSvids(
    identities: readonly DevIdentity[],
    audiences: readonly string[],
  ): Promise<{ spiffeId: string; svid: string; hint: string }[]> {
    const svids = identities.map(async ({ spiffeId, hint = '' }) => ({
      spiffeId,
      svid: await this.mintJwtSvid(spiffeId, audiences),
      hint,
    }));
    return await Promise.all(svids);
  }

  /** SPIFFE ID of a trust domain -> X.509 authorities. */
  get federatedBundles(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.#federated.values()].map((domain) => [domain.id, domain.bundleDer]));
  }

  /** The same, including the own trust domain. */
  get x509Bundles(): ReadonlyMap<string, Uint8Array> {
    return new Map([[this.own.id, this.own.bundleDer], ...this.federatedBundles]);
  }

  /** SPIFFE ID of a trust domain -> JWKS. */
  get jwtBundles(): ReadonlyMap<string, Uint8Array> {
    const all = [this.own, ...this.#federated.values()];
    return new Map(all.map((domain) => [domain.id, Buffer.from(JSON.stringify(domain.jwks()))]));
  }

  domainOf(spiffeId: string): TrustDomain | undefined {
    if (spiffeIdProblem(spiffeId) !== undefined) return undefined;
    const id = /^spiffe:\/\/[^/]+/.exec(spiffeId)?.[0] ?? '';
    return id === this.own.id ? this.own : this.#federated.get(id);
  }

  /** Calls `rotate` at each half lifetime of an X.509-SVID until aborted. */
  async rotateAtHalfLife(rotate: () => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.clock.sleep(this.#x509TtlMs / 2, signal);
      } catch {
        return; // closed
      }
      rotate();
    }
  }
}

/** A trust domain for {@link IssuerOptions.domain}. */
export function createTrustDomain(name: string, clock: Clock = systemClock): TrustDomain {
  return new TrustDomain(name, clock);
}
