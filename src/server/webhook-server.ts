/**
 * The webhook's two listeners: HTTPS for the API server, plain HTTP for probes and metrics. Ring: server.
 */
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { Clock, Logger, Metrics } from '../core/index.ts';
import { runAll, type Task } from '../lifecycle/index.ts';
import type { Certificates, ServingCertificate } from './certificate-source.ts';
import { bound, listen, type Address } from './http.ts';
import {
  aborted,
  closeNow,
  type Exposition,
  listener,
  metricsRoute,
  probeRoutes,
  spell,
} from './health-server.ts';
import { createMutateRoute, type MutateOptions } from './mutate.ts';
import { createReadiness } from './readiness.ts';

/** What a {@link WebhookServer} needs. */
export interface WebhookServerOptions extends MutateOptions {
  /** `host:port` of HTTPS. */
  readonly listen: string;
  /** `host:port` of probes and metrics; undefined opens no port. */
  readonly healthListen?: string | undefined;
  /** The server keeps them up to date as long as it runs. */
  readonly certificates: Certificates;
  /** What reviews need beside the server; it runs until the last of them is answered. */
  readonly companions?: readonly Task[];
  readonly exposition: Exposition;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Where the server listens: `host:port`. */
export interface BoundAddresses {
  readonly listen: string;
  readonly healthListen: string | undefined;
}

/** The webhook. */
export interface WebhookServer {
  /**
   * Serves until `signal` aborts: then it is not ready any more, goes on for a moment, because the API server
   * learns late, stops accepting and drains what is under way.
   *
   * @throws VouchsafeError `ERR_SERVER_LISTEN`
   */
  run(signal: AbortSignal, onListening?: (addresses: BoundAddresses) => void): Promise<void>;
}

/** How long new connections are taken after the end was asked for. */
const LINGER_MS = 2000;
/** How long reviews under way may take then. */
const DRAIN_MS = 10_000;

/** Makes the server; nothing is opened before `run`. */
export function createWebhookServer(options: WebhookServerOptions): WebhookServer {
  return { run: (signal, onListening) => run(options, signal, onListening) };
}

async function run(
  options: WebhookServerOptions,
  signal: AbortSignal,
  onListening: (addresses: BoundAddresses) => void = () => undefined,
): Promise<void> {
  const { certificates, logger } = options;
  let address: Address | undefined;
  const whyNotReady = createReadiness({ ...options, address: () => address });
  const probes = probeRoutes(signal, whyNotReady);
  const health = createHttpServer(
    listener({ ...probes, 'GET /metrics': metricsRoute(options) }, signal, logger),
  );
  const https = createHttpsServer(
    { handshakeTimeout: 5000 },
    listener({ ...probes, 'POST /mutate': createMutateRoute(options) }, signal, logger),
  );
  bound(health);
  bound(https);
  // The companions outlive `signal`: what is under way still needs them.
  const companions = new AbortController();
  await runAll(companions.signal, [
    ...(options.companions ?? []),
    (inner) => certificates.run(inner),
    (inner) => followCertificate(https, options, inner),
    async (inner) => {
      const stopped = AbortSignal.any([signal, inner]);
      try {
        const healthAddress =
          options.healthListen === undefined
            ? undefined
            : await listen(health, options.healthListen);
        // Without a certificate there is nothing to serve with; probes tell until it comes.
        useCertificate(https, await certificates.first(stopped));
        address = await listen(https, options.listen);
        onListening({
          listen: spell(address),
          healthListen: healthAddress && spell(healthAddress),
        });
        await aborted(stopped);
        await drain(https, options.clock);
      } catch (error) {
        if (!stopped.aborted) throw error;
      } finally {
        closeNow(https);
        closeNow(health);
      }
      companions.abort();
    },
  ]);
}

async function followCertificate(
  server: HttpsServer,
  { certificates, metrics }: WebhookServerOptions,
  signal: AbortSignal,
): Promise<void> {
  const issued = metrics.gauge(
    'vouchsafe_certificate_issued_timestamp_seconds',
    'When the validity of the serving certificate began.',
  );
  const expiry = metrics.gauge(
    'vouchsafe_certificate_expiry_timestamp_seconds',
    'When the serving certificate expires.',
  );
  for await (const certificate of certificates.updates(signal)) {
    useCertificate(server, certificate);
    issued.set(certificate.notBeforeMs / 1000);
    expiry.set(certificate.expiresAtMs / 1000);
  }
}

/** Connections that are open go on with the old one. */
function useCertificate(server: HttpsServer, { certificatePem, keyPem }: ServingCertificate): void {
  server.setSecureContext({
    cert: certificatePem,
    key: keyPem.reveal(),
    minVersion: 'TLSv1.2',
  });
}

/** Takes new connections for a moment more, then waits for what is under way. */
async function drain(server: HttpsServer, clock: Clock): Promise<void> {
  await clock.sleep(LINGER_MS, new AbortController().signal);
  const closed = Promise.withResolvers<undefined>();
  const enough = new AbortController();
  server.close(() => {
    closed.resolve(undefined);
    enough.abort();
  });
  await Promise.race([closed.promise, clock.sleep(DRAIN_MS, enough.signal).catch(() => undefined)]);
}
