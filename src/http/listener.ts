/**
 * The listener for plain HTTP, and parts that it shares with the TLS listener.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { VouchsafeError, type Clock, type Logger, type Metrics } from '../core/index.ts';
import { formatAddress, parseAddress, type Address } from './address.ts';
import { BodyBudget } from './body-budget.ts';
import { Connections } from './connections.ts';
import {
  CHECK_MS,
  HEADERS_MS,
  MAX_BODIES_BYTES,
  MAX_HEADER_BYTES,
  PROBE_LIMITS,
  REQUEST_BYTES,
} from './limits.ts';
import { createRequestListener, type Handler } from './respond.ts';

export interface HttpOptions {
  /** `host:port`; port 0 lets the system choose. */
  readonly listen: string;
  readonly handler: Handler;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Counts closed connections. Default: not counted. */
  readonly metrics?: Metrics;
  /** Addresses of the node: connections of its kubelet are not limited. */
  readonly nodeAddresses?: readonly string[];
  /** Aborts at the start of the shutdown: from then on each answer closes its connection. */
  readonly stopping: AbortSignal;
}

/** Options of Node for HTTP/1.1, with and without TLS. */
export const HTTP1_OPTIONS = {
  connectionsCheckingInterval: CHECK_MS,
  headersTimeout: HEADERS_MS,
  // For a request that never ends; bodies have their own timeout.
  requestTimeout: 2 * HEADERS_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
} as const;

/**
 * Serves plain HTTP until `signal` aborts; calls `onListening` with the bound `host:port`.
 *
 * @throws VouchsafeError `ERR_SERVER_LISTEN`
 */
export async function serveHttp(
  options: HttpOptions,
  signal: AbortSignal,
  onListening: (address: string) => void = () => undefined,
): Promise<void> {
  const { handler, clock, logger, stopping } = options;
  const connections = new Connections(PROBE_LIMITS, options.nodeAddresses, options.metrics);
  const budget = new BodyBudget(MAX_BODIES_BYTES, REQUEST_BYTES);
  const isEnding = (): boolean => stopping.aborted;
  const server = createServer(
    { ...HTTP1_OPTIONS, keepAliveTimeout: PROBE_LIMITS.keepAliveMs },
    createRequestListener({ handler, connections, budget, clock, logger, isEnding }),
  );
  connections.track(server);
  try {
    onListening(formatAddress(await listen(server, options.listen, logger)));
    await aborted(signal);
  } finally {
    server.close();
    connections.closeAll();
  }
}

/**
 * Listens on `host:port`; resolves to the bound address. Later errors of the listening socket are only logged: a
 * connection that cannot be accepted must not end the process.
 */
export async function listen(server: Server, address: string, logger: Logger): Promise<Address> {
  const listening = Promise.withResolvers<undefined>();
  server.on('error', (cause) => {
    const message = server.listening ? 'a listener failed' : `cannot listen on ${address}`;
    const error = new VouchsafeError('ERR_SERVER_LISTEN', message, { cause });
    if (server.listening) logger.warn('connection was not accepted', { error });
    listening.reject(error);
  });
  server.listen(parseAddress(address), () => listening.resolve(undefined));
  await listening.promise;
  const { address: host, port } = server.address() as AddressInfo; // a listening TCP server has this type
  return { host, port };
}

/** Resolves when a signal aborts. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}
