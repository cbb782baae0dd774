/**
 * Plain HTTP for probes and metrics. Ring: server.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import { toVouchsafeError, type Logger } from '../core/index.ts';
import { bound, listen, pathOf, send, type Address, type Answer, type Route } from './http.ts';

/** Metrics in the text format of Prometheus. */
export interface Exposition {
  readonly contentType: string;
  expose(): Promise<string>;
}

/** What {@link serveHealth} needs. */
export interface HealthOptions {
  /** `host:port`; port 0 lets the system choose. */
  readonly listen: string;
  /** Why the process is not ready, or undefined when it is. */
  readonly whyNotReady: () => string | undefined;
  readonly exposition: Exposition;
  readonly logger: Logger;
  /** Aborts when the end was asked for: from then on the process is not ready. */
  readonly stopping: AbortSignal;
}

/**
 * Serves probes and metrics until `signal` aborts; calls `onListening` with the bound `host:port`.
 *
 * @throws VouchsafeError `ERR_SERVER_LISTEN`
 */
export async function serveHealth(
  options: HealthOptions,
  signal: AbortSignal,
  onListening: (address: string) => void = () => undefined,
): Promise<void> {
  const { stopping, logger } = options;
  const probes = probeRoutes(stopping, () => Promise.resolve(options.whyNotReady()));
  const routes = { ...probes, 'GET /metrics': metricsRoute(options) };
  const server = createServer(listener(routes, stopping, logger));
  bound(server);
  try {
    onListening(spell(await listen(server, options.listen)));
    await aborted(signal);
  } finally {
    closeNow(server);
  }
}

/** `/healthz` and `/readyz`; while `stopping` has aborted nothing is ready. */
export function probeRoutes(
  stopping: AbortSignal,
  whyNotReady: () => Promise<string | undefined>,
): Readonly<Record<string, Route>> {
  return {
    'GET /healthz': () => ({ status: 200, body: 'ok\n' }),
    'GET /readyz': async () => {
      const reason = stopping.aborted ? 'ending' : await whyNotReady();
      return reason === undefined
        ? { status: 200, body: 'ok\n' }
        : { status: 503, body: `not ready: ${reason}\n` };
    },
  };
}

/** `/metrics` */
export function metricsRoute({ exposition }: { readonly exposition: Exposition }): Route {
  return async () => ({
    status: 200,
    type: exposition.contentType,
    body: await exposition.expose(),
  });
}

/** Answers by route; an error becomes a 500 without a word. */
export function listener(
  routes: Readonly<Record<string, Route>>,
  stopping: AbortSignal,
  logger: Logger,
): RequestListener {
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const path = pathOf(request);
    const key = `${request.method ?? ''} ${path}`;
    const route = Object.hasOwn(routes, key) ? routes[key] : undefined;
    if (route !== undefined) return route(request);
    const isKnown = Object.keys(routes).some((one) => one.endsWith(` ${path}`));
    return isKnown
      ? { status: 405, body: 'method not allowed\n', isCut: true }
      : { status: 404, body: 'not found\n', isCut: true };
  };
  return (request, response) => {
    answer(request).then(
      (given) => send(response, given, stopping.aborted),
      (error: unknown) => {
        logger.error('a request failed', { error: toVouchsafeError(error) });
        send(response, { status: 500, body: 'internal error\n', isCut: true }, true);
      },
    );
  };
}

/** Ends every connection. */
export function closeNow(server: Server | HttpsServer): void {
  server.close();
  server.closeAllConnections();
}

/** Resolves when a signal aborts. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

/** `host:port` */
export function spell({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
