/**
 * Ready means: the API server could call now.
 */
import type { Clock } from '../core/index.ts';
import type { Certificates } from '../webhook-certificates/index.ts';

/** What {@link createReadiness} needs. */
export interface ReadinessOptions {
  readonly certificates: Certificates;
  readonly clock: Clock;
  readonly isListening: () => boolean;
  /** Whether a caller that trusts this CA, and nothing else, gets through. */
  readonly canShakeHands: (caPem: string, serverName: string | undefined) => Promise<boolean>;
}

/** Tells why the webhook is not ready, or undefined when it is. Concurrent askers share one handshake. */
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
    : 'a handshake against the CA bundle fails';
}
