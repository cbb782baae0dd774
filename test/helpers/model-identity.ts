/** A workload's identity that a test decides. */
import type { IdentityPort, X509Files } from '../../src/agent/index.ts';
import { parseSpiffeId, Secret, type Clock, type VouchsafeError } from '../../src/core/index.ts';
import { Latest } from '../../src/async/index.ts';

/** Mints JWT-SVIDs that are no JWTs; X.509-SVIDs come when the test says so. */
export class ModelIdentity implements IdentityPort {
  readonly spiffeId = 'spiffe://example.org/web';
  jwtTtlMs = 300_000;
  /** Audiences of each JWT-SVID that was fetched. */
  readonly minted: string[] = [];
  lastError: VouchsafeError | undefined;
  failure: VouchsafeError | undefined;
  #federated: X509Files['federated'] = [];
  readonly #clock: Clock;
  readonly #x509 = new Latest<X509Files>();
  readonly #broken = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  jwtSvid(audiences: readonly string[]): ReturnType<IdentityPort['jwtSvid']> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.minted.push(audiences.join());
    const issuedAtMs = this.#clock.now();
    return Promise.resolve({
      spiffeId: parseSpiffeId(this.spiffeId),
      token: new Secret(`jwt-${this.minted.length}`),
      issuedAtMs,
      expiresAtMs: issuedAtMs + this.jwtTtlMs,
    });
  }

  x509Svid(signal: AbortSignal): Promise<X509Files> {
    return this.#x509.wait(AbortSignal.any([signal, this.#broken.signal]));
  }

  x509Updates(signal: AbortSignal): AsyncIterable<X509Files> {
    return this.#x509.updates(AbortSignal.any([signal, this.#broken.signal]));
  }

  /** A new X.509-SVID comes. */
  rotate(name: string): void {
    this.#x509.set({
      spiffeId: this.spiffeId,
      svid: `svid ${name}`,
      key: new Secret(`key ${name}`),
      bundle: 'bundle',
      federated: this.#federated,
      expiresAtMs: this.#clock.now() + 3_600_000,
    });
  }

  /** There is no X.509-SVID until the next {@link rotate}. */
  withdraw(): void {
    this.#x509.clear();
  }

  /** The workload federates with these trust domains from now on; takes effect with the next {@link rotate}. */
  federateWith(...trustDomains: readonly string[]): void {
    this.#federated = trustDomains.map((name) => ({ trustDomain: name, pem: `bundle of ${name}` }));
  }

  /** No X.509-SVID will ever come any more. */
  breakOff(error: VouchsafeError): void {
    this.lastError = error;
    this.#broken.abort(error);
  }
}
