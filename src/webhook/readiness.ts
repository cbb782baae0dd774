/**
 * Readiness: whether the API server could call the webhook now.
 */
import type { Clock } from '../core/index.ts';
import type { Certificates } from '../webhook-certificates/index.ts';

export interface ReadinessOptions {
  readonly certificates: Certificates;
  readonly clock: Clock;
  readonly isListening: () => boolean;
  /** Whether a TLS handshake succeeds for a client that trusts only this CA (PEM). */
  readonly canShakeHands: (caPem: string, serverName: string | undefined) => Promise<boolean>;
}

/** Returns a check: the reason why the webhook is not ready, or undefined. Concurrent calls share one handshake. */
export function createReadiness(options: ReadinessOptions): () => Promise<string | undefined> {
  let underWay: Promise<string | undefined> | undefined;
  return () => {
    underWay ??= whyNotReady(options).finally(() => (underWay = undefined));
    return underWay;
  };
}

async function whyNotReady({
  certificates,
  clock,
  isListening,
  canShakeHands,
}: ReadinessOptions): Promise<string | undefined> {
  const certificate = certificates.current;
  if (certificate === undefined) return 'no serving certificate yet';
  const now = clock.now();
  if (now < certificate.notBeforeMs) return 'the serving certificate is not valid yet';
  if (now >= certificate.expiresAtMs) return 'the serving certificate has expired';
  if (certificate.problem !== undefined) return certificate.problem;
  if (!isListening()) return 'not listening';
  if (certificate.caPem === undefined) return undefined;
  return (await canShakeHands(certificate.caPem, certificate.serverName))
    ? undefined
    : 'TLS handshake failed: the serving certificate is not trusted by the CA bundle';
}
