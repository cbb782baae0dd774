/**
 * Server certificates for TLS servers on this machine.
 */
import type { Clock } from '../../core/index.ts';
import { systemClock } from '../../platform/index.ts';
import { createAuthority } from './authority.ts';

const DEFAULT_TTL_MS = 3_600_000;
const CA_TTL_MS = 86_400_000;

/** Names and lifetime of a certificate. */
export interface ServerCertificateRequest {
  /** Default `localhost`. */
  readonly dnsNames?: readonly string[];
  /** Default `127.0.0.1`. */
  readonly ips?: readonly string[];
  /** Default one hour. */
  readonly ttlMs?: number;
  /** URI SANs, for client certificates. Default none. */
  readonly uris?: readonly string[];
  /** Default none. */
  readonly commonName?: string;
}

/** An authority for tests. */
export interface TestCa {
  readonly caPem: string;
  /** A certificate with its key (PKCS#8), for server and client authentication. */
  issue(request?: ServerCertificateRequest): { readonly certPem: string; readonly keyPem: string };
}

/** Creates an authority whose certificates are valid from the time of `clock`. */
export function createTestCa(clock: Clock = systemClock): TestCa {
  const commonName = 'Vouchsafe test CA';
  const authority = createAuthority({ commonName, nowMs: clock.now(), ttlMs: CA_TTL_MS });
  return {
    caPem: authority.caPem,
    issue({ dnsNames = ['localhost'], ips = ['127.0.0.1'], ttlMs = DEFAULT_TTL_MS, ...rest } = {}) {
      const { certPem, keyPem } = authority.issue({
        ...rest,
        dnsNames,
        ips,
        ttlMs,
        nowMs: clock.now(),
      });
      return { certPem, keyPem };
    },
  };
}
