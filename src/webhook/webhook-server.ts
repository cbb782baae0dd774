/**
 * The webhook's two listeners: HTTPS for the API server, plain HTTP for probes and metrics.
 */
import type { Clock, Logger, Metrics } from '../core/index.ts';
import {
  aborted,
  byRoute,
  formatAddress,
  probeRoutes,
  SecureListener,
  serveHealth,
  type Exposition,
  type Route,
} from '../http/index.ts';
import { raceAbort, runAll, withDeadline, type Task } from '../async/index.ts';
import type { Certificates, ServingCertificate } from '../webhook-certificates/index.ts';
import { createMutateRoute, type MutateOptions } from './mutate.ts';
import { createReadiness } from './readiness.ts';

export interface WebhookServerOptions extends MutateOptions {
  /** `host:port` of HTTPS. */
  readonly listen: string;
  /** `host:port` of probes and metrics; undefined opens no port. */
  readonly healthListen?: string | undefined;
  /** Addresses of the node: connections of its kubelet are not limited. */
  readonly nodeAddresses?: readonly string[];
  /** Run by the server for as long as it serves. */
  readonly certificates: Certificates;
  /** Tasks that reviews need; they run until the last review is answered. */
  readonly backgroundTasks?: readonly Task[];
  readonly exposition: Exposition;
  /** How long new connections are accepted after `signal` aborts. Default 2 s. */
  readonly lingerMs?: number;
  /** How long reviews under way may take after that. Default 10 s. */
  readonly drainMs?: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Where the server listens: `host:port`. */
interface BoundAddresses {
  readonly listen: string;
  readonly healthListen: string | undefined;
}

/** The webhook. */
export interface WebhookServer {
  /**
   * Serves until `signal` aborts. Then readiness fails, new connections are still accepted for a moment, because the
   * API server learns of it late, and reviews under way are drained.
   *
   * @throws VouchsafeError `ERR_SERVER_LISTEN`
   */
  run(signal: AbortSignal, onListening?: (addresses: BoundAddresses) => void): Promise<void>;
}

/** Creates the server; nothing is opened before `run`. */
export function createWebhookServer(options: WebhookServerOptions): WebhookServer {
  return { run: (signal, onListening) => run(options, signal, onListening) };
}

async function run(
  options: WebhookServerOptions,
  signal: AbortSignal,
  onListening: (addresses: BoundAddresses) => void = () => undefined,
): Promise<void> {
  const { certificates, logger, installation } = options;
  const { clientCa } = installation.webhook;
  let isListening = false;
  const whyNotReady = createReadiness({
    ...options,
    isListening: () => isListening,
    canShakeHands: (ca, name) => listener.canShakeHands(ca, name),
  });
  const mutate = createMutateRoute(options);
  const listener = new SecureListener({
    handler: byRoute({
      ...probeRoutes(signal, whyNotReady),
      'POST /mutate': clientCa === undefined ? mutate : requireClientCertificate(mutate),
    }),
    clock: options.clock,
    logger,
    metrics: options.metrics,
    clientCa,
    isEnding: () => signal.aborted,
  });
  const health = Promise.withResolvers<string | undefined>();
  // The companions, and the probes, outlive `signal`: what is under way still needs them.
  const background = new AbortController();
  await runAll(background.signal, [
    ...(options.backgroundTasks ?? []),
    (inner) => certificates.run(inner),
    (inner) => followCertificate(listener, options, inner),
    async (inner) => {
      const { healthListen: listen } = options;
      if (listen === undefined) {
        health.resolve(undefined);
        return;
      }
      await serveHealth({ ...options, listen, whyNotReady, stopping: signal }, inner, (address) =>
        health.resolve(address),
      );
    },
    async (inner) => {
      const stopped = AbortSignal.any([signal, inner]);
      try {
        // Without a certificate nothing can be served; until it comes `/readyz` says so.
        useCertificate(listener, await certificates.first(stopped));
        const address = formatAddress(await listener.listen(options.listen));
        isListening = true;
        onListening({ listen: address, healthListen: await raceAbort(health.promise, stopped) });
        await aborted(stopped);
        await drain(listener, options);
      } catch (error) {
        if (!stopped.aborted) throw error;
      } finally {
        listener.close();
      }
      background.abort();
    },
  ]);
}

/** Rejects callers without a client certificate before they cause a log line, a count or an Event. */
function requireClientCertificate(route: Route): Route {
  return (request) =>
    request.isAuthenticated
      ? route(request)
      : { status: 401, body: 'a client certificate is required\n', closesConnection: true };
}

async function followCertificate(
  listener: SecureListener,
  { certificates, metrics }: WebhookServerOptions,
  signal: AbortSignal,
): Promise<void> {
  const issued = metrics.gauge(
    'vouchsafe_certificate_issued_timestamp_seconds',
    'Start of the validity of the serving certificate, in seconds since the epoch.',
  );
  const expiry = metrics.gauge(
    'vouchsafe_certificate_expiry_timestamp_seconds',
    'Expiry of the serving certificate, in seconds since the epoch.',
  );
  for await (const certificate of certificates.updates(signal)) {
    useCertificate(listener, certificate);
    issued.set(certificate.notBeforeMs / 1000);
    expiry.set(certificate.expiresAtMs / 1000);
  }
}

function useCertificate(
  listener: SecureListener,
  { certificatePem, keyPem }: ServingCertificate,
): void {
  listener.setCertificate(certificatePem, keyPem.reveal());
}

/** Accepts new connections for `lingerMs`, then waits for the requests under way. */
async function drain(
  listener: SecureListener,
  { clock, lingerMs = 2000, drainMs = 10_000 }: WebhookServerOptions,
): Promise<void> {
  await clock.sleep(lingerMs, new AbortController().signal);
  await withDeadline({ clock, ms: drainMs }, () => listener.drain()).catch(() => undefined);
}
