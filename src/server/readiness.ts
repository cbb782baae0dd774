/**
 * Ready means: the API server could call now. Ring: server.
 */
import { once } from 'node:events';
import { connect } from 'node:tls';
import type { Clock } from '../core/index.ts';
import type { Certificates, ServingCertificate } from './certificate-source.ts';

const HANDSHAKE_TIMEOUT_MS = 2000;

/** What {@link createReadiness} needs. */
export interface ReadinessOptions {
  readonly certificates: Certificates;
  readonly clock: Clock;
  /** Where the server listens; undefined while it does not. */
  readonly address: () => { readonly host: string; readonly port: number } | undefined;
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
  address,
}: ReadinessOptions): Promise<string | undefined> {
  const certificate = certificates.current;
  if (certificate === undefined) return 'no serving certificate yet';
  const now = clock.now();
  if (now < certificate.notBeforeMs) return 'the serving certificate is not valid yet';
  if (now >= certificate.expiresAtMs) return 'the serving certificate has expired';
  if (certificate.problem !== undefined) return certificate.problem;
  const bound = address();
  if (bound === undefined) return 'not listening';
  if (certificate.caPem === undefined) return undefined;
  return (await canShakeHands(bound, certificate, certificate.caPem))
    ? undefined
    : 'a handshake against the CA bundle fails';
}

/** A handshake as the API server makes it: the bundle and nothing else is trusted. */
async function canShakeHands(
  { host, port }: { readonly host: string; readonly port: number },
  { serverName }: ServingCertificate,
  ca: string,
): Promise<boolean> {
  const socket = connect({
    host,
    port,
    // An empty text is no trust at all, while TLS would take it for the trust of the system.
    ca: ca === '' ? [] : ca,
    ...(serverName !== undefined && { servername: serverName }),
  });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS) });
    return socket.authorized;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
