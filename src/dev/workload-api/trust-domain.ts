/**
 * A trust domain, as a SPIRE server has it: an X.509 authority and JWT signing keys.
 */
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import type { Clock } from '../../core/index.ts';
import { createAuthority, type Authority, type IssuedCertificate } from '../ca/index.ts';
import { createTokenIssuer, type TokenIssuer } from '../tokens/index.ts';

/** SPIRE's default `ca_ttl`. */
const CA_TTL_MS = 24 * 3_600_000;

/** The part of a registration entry for an X.509-SVID. */
export interface X509Entry {
  readonly spiffeId: string;
  readonly dnsNames?: readonly string[];
}

/** Mints SVIDs and publishes the bundles that verify them. */
export class TrustDomain {
  readonly name: string;
  /** `spiffe://name`, the key of bundles in the Workload API. */
  readonly id: string;
  readonly tokens: TokenIssuer;
  readonly #authority: Authority;
  readonly #clock: Clock;

  constructor(name: string, clock: Clock) {
    this.name = name;
    this.id = `spiffe://${name}`;
    this.#clock = clock;
    this.tokens = createTokenIssuer(clock);
    this.#authority = createAuthority({ uri: this.id, nowMs: clock.now(), ttlMs: CA_TTL_MS });
  }

  get bundleDer(): Uint8Array {
    return this.#authority.caDer;
  }

  get bundlePem(): string {
    return this.#authority.caPem;
  }

  /** The JWT keys as in a SPIFFE bundle. */
  jwks(): JSONWebKeySet {
    return { keys: this.tokens.jwks().keys.map((key) => ({ ...key, use: 'jwt-svid' })) };
  }

  /** The first DNS name, if any, becomes the common name, as with SPIRE. */
  mintX509Svid(entry: X509Entry, ttlMs: number): IssuedCertificate {
    const { spiffeId, dnsNames = [] } = entry;
    const [commonName] = dnsNames;
    return this.#authority.issue({
      ...(commonName === undefined ? {} : { commonName }),
      uris: [spiffeId],
      dnsNames,
      nowMs: this.#clock.now(),
      ttlMs,
    });
  }

  /** The claims of a JWT-SVID of this trust domain; throws an `Error` of jose for any other token. */
  async verify(token: string, audience: string): Promise<JWTPayload> {
    const keys = createLocalJWKSet({ keys: [...this.tokens.jwks().keys] });
    const currentDate = new Date(this.#clock.now());
    return (await jwtVerify(token, keys, { audience, currentDate })).payload;
  }
}
