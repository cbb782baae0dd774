/**
 * Connections through an HTTP proxy: tunnels (CONNECT) to a Vault with TLS, which is verified end to end, and forwarded
 * requests to a Vault without.
 *
 * Node's own proxies (`proxyEnv`) are not used: their tunnels have no deadline, outlive their request and a closed agent,
 * and a proxy with TLS is verified only by Node's default CAs.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110 section 9.3.6, and RFC 9112 section 3.2.2 (absolute form)
 */
import {
  Agent as HttpAgent,
  request as httpRequest,
  type AgentOptions as HttpAgentOptions,
  type ClientRequest,
  type ClientRequestArgs,
} from 'node:http';
import {
  Agent as HttpsAgent,
  request as httpsRequest,
  type AgentOptions as HttpsAgentOptions,
} from 'node:https';
import { connect as connectTcp, isIP, isIPv6, type LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { RestartableDeadline } from '../async/index.ts';
import type { Clock } from '../core/index.ts';
import { proxyError, proxyProblem, proxyStatusProblem } from './proxy-error.ts';

/** Longest head of the proxy's response to CONNECT. */
const MAX_HEAD_BYTES = 16 * 1024;

/** Settings of a proxy. */
export interface ProxyOptions {
  /** `http://proxy.example:3128`; without credentials. */
  readonly url: URL;
  /** PEM of the CAs that a proxy with TLS is verified by, called for each connection; undefined: those of Node. */
  readonly ca: () => string | undefined;
  readonly lookup: LookupFunction;
  /** How long the proxy may take to open a tunnel, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Options of a request that a {@link TunnelAgent} also reads. */
export interface TunnelRequestOptions {
  /** Ends the tunnel while it is being opened. */
  readonly tunnelSignal: AbortSignal;
}

/** A pool of TLS connections to Vault within tunnels. Errors of the proxy are `VouchsafeError`s. */
export class TunnelAgent extends HttpsAgent {
  readonly #proxy: ProxyOptions;
  readonly #closed = new AbortController();

  constructor(options: HttpsAgentOptions, proxy: ProxyOptions) {
    super(options);
    this.#proxy = proxy;
  }

  override createConnection(
    options: ClientRequestArgs & Partial<TunnelRequestOptions>,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#connect(options).then(
      (stream) => callback?.(null, stream),
      // Without a stream, as Node's own agents call it; the types do not know of that.
      (error: unknown) => callback?.(error as Error, undefined as unknown as Duplex),
    );
  }

  async #connect(options: ClientRequestArgs & Partial<TunnelRequestOptions>): Promise<Duplex> {
    const { tunnelSignal = this.#closed.signal, host = '', port = 443 } = options;
    const signal = AbortSignal.any([tunnelSignal, this.#closed.signal]);
    const endpoint = `${isIPv6(host ?? '') ? `[${host}]` : host}:${port}`;
    const socket = await openTunnel(this.#proxy, endpoint, signal);
    try {
      // TLS is spoken with Vault: name, CA and client certificate are those of the request. It throws for an invalid CA.
      return super.createConnection({ ...options, socket } as ClientRequestArgs) ?? socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  override destroy(): void {
    this.#closed.abort(new DOMException('the connections were closed', 'AbortError'));
    super.destroy();
  }
}

/** A pool of connections to the proxy, for requests to a Vault without TLS. */
export class ForwardAgent extends HttpAgent {
  readonly #proxy: ProxyOptions;

  constructor(options: HttpAgentOptions, proxy: ProxyOptions) {
    super(options);
    this.#proxy = proxy;
  }

  override createConnection(): Duplex {
    const { url } = this.#proxy;
    const socket =
      url.protocol === 'https:'
        ? connectTls(tlsOptions(this.#proxy))
        : connectTcp(addressOf(this.#proxy));
    return socket.setNoDelay();
  }
}

async function openTunnel(
  proxy: ProxyOptions,
  endpoint: string,
  signal: AbortSignal,
): Promise<Duplex> {
  const origin = `https://${endpoint}`;
  const place = { proxy: proxy.url.origin, origin };
  const deadline = new RestartableDeadline(proxy.clock);
  deadline.start(proxy.timeoutMs);
  try {
    signal.throwIfAborted();
    const request = connectRequest(proxy, endpoint, AbortSignal.any([signal, deadline.signal]));
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    request.on('error', reject);
    request.once('connect', ({ statusCode = 0 }, socket: Duplex, head) => {
      const problem = proxyStatusProblem(statusCode, head.length > 0);
      if (problem === undefined) resolve(socket);
      else {
        socket.destroy();
        reject(proxyProblem(problem, place));
      }
    });
    request.end();
    return await promise;
  } catch (error) {
    signal.throwIfAborted();
    if (!deadline.signal.aborted) throw proxyError(error, place);
    const problem = `did not open a connection within ${proxy.timeoutMs / 1000} s`;
    throw proxyProblem(problem, place);
  } finally {
    deadline.end();
  }
}

function connectRequest(proxy: ProxyOptions, endpoint: string, signal: AbortSignal): ClientRequest {
  const common = {
    method: 'CONNECT',
    path: endpoint,
    headers: { Host: endpoint },
    agent: false,
    maxHeaderSize: MAX_HEAD_BYTES,
    signal,
  } as const;
  return proxy.url.protocol === 'https:'
    ? httpsRequest({ ...tlsOptions(proxy), ...common })
    : httpRequest({ ...addressOf(proxy), ...common });
}

function addressOf({ url, lookup }: ProxyOptions): {
  readonly host: string;
  readonly port: number;
  readonly lookup: LookupFunction;
} {
  const fallback = url.protocol === 'https:' ? 443 : 80;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port: url.port === '' ? fallback : Number(url.port), lookup };
}

/** Vault's client certificate and server name are not for the proxy. */
function tlsOptions(proxy: ProxyOptions): ConnectionOptions & ReturnType<typeof addressOf> {
  const address = addressOf(proxy);
  const ca = proxy.ca();
  return {
    ...address,
    ...(ca === undefined ? {} : { ca }),
    ...(isIP(address.host) !== 0 ? {} : { servername: address.host }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    // Explicit, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 would disable it.
    rejectUnauthorized: true,
  };
}
