/**
 * Probes and metrics over plain HTTP.
 */
import { serveHttp, type HttpOptions } from './listener.ts';
import { byRoute, metricsRoute, probeRoutes, type Exposition } from './routes.ts';

export interface HealthOptions extends Omit<HttpOptions, 'handler'> {
  /** The reason why the process is not ready; undefined when it is. */
  readonly whyNotReady: () => Promise<string | undefined>;
  readonly exposition: Exposition;
}

/**
 * Serves `/healthz`, `/readyz` and `/metrics` until `signal` aborts; calls `onListening` with the bound `host:port`.
 *
 * @throws VouchsafeError `ERR_SERVER_LISTEN`
 */
export async function serveHealth(
  options: HealthOptions,
  signal: AbortSignal,
  onListening?: (address: string) => void,
): Promise<void> {
  const probes = probeRoutes(options.stopping, options.whyNotReady);
  const handler = byRoute({ ...probes, 'GET /metrics': metricsRoute(options.exposition) });
  await serveHttp({ ...options, handler }, signal, onListening);
}
