/**
 * HTTP to Vault with Node's own client: keep-alive connections, one deadline per request, a CA that may change,
 * bounded bodies, safe redirects. It knows nothing about Vault's API.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction, Socket } from 'node:net';
import type { ClientCertificate } from '../contracts/index.ts';
import { VouchsafeError, type Clock, type Random } from '../core/index.ts';
import { RestartableDeadline, Semaphore } from '../async/index.ts';
import { connectionError } from './connection-error.ts';
import { createPools, type ConnectionPools } from './connection-pools.ts';
import type { ProxyOptions } from './proxy.ts';
import { readBody, type BodyBounds } from './response-body.ts';
import { proxyProblem, proxyStatusProblem, viaProxyError } from './proxy-error.ts';
import {
  guardedLookup,
  isSameHost,
  localKindOf,
  redirectTarget,
  type LocalKind,
} from './redirect.ts';
import type { RequestLimiter } from './types.ts';

/** Largest body that is sent, in bytes. */
export const MAX_REQUEST_BYTES = 2 ** 20;

/** Connections of one workload to one Vault node; further requests wait for one within their deadline. */
const MAX_SOCKETS = 8;
/**
 * Requests that may create a token or a credential wait this many times longer for their response: if it is missed, a second
 * one is created and the first is never revoked. By default a minute, as in Vault's own clients.
 */
const CREATING_FACTOR = 3;
/** The share of a request's time that a proxy may take to open a connection: the rest is for Vault. */
const PROXY_SHARE = 0.5;
/** A connection is used for this long, in milliseconds, ±20 %: the name may resolve to other nodes by then. */
const CONNECTION_LIFE_MS = 5 * 60_000;

/** Settings of a {@link Transport}. */
export interface TransportOptions {
  /** PEM of the trusted CAs, called for each request; undefined: those of Node. */
  readonly ca: () => string | undefined;
  /** The name that the certificate must be for; undefined: the host of the address. */
  readonly tlsServerName: string | undefined;
  /** Further hosts that redirects may lead to. Default: none. */
  readonly redirectHosts?: readonly string[];
  /** The HTTP(S) proxy that everything goes through, which then also resolves host names. Default: none. */
  readonly proxy?: URL;
  /** Resolves host names. Default: the system's resolver. */
  readonly lookup?: LookupFunction;
  /** Deadline for the limiter, and then for the request with its redirects, in milliseconds. */
  readonly timeoutMs: number;
  /** Most connections to one Vault node. Default: 8. */
  readonly maxSockets?: number;
  /** Measures the age of connections. */
  readonly clock: Clock;
  /** Jitter for the age at which connections are replaced. */
  readonly random: Random;
}

/** One request. */
export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Presented if the connection is TLS. */
  readonly identity?: ClientCertificate;
  /** Whether it carries login credentials; redirects to other hosts are then rejected. Default: false. */
  readonly isLogin?: boolean;
  /** Whether Vault may create a token or a lease for it; its deadline is then longer. Default: false. */
  readonly isCreating?: boolean;
  /** Decides when it may start. Default: immediately. */
  readonly limiter?: RequestLimiter;
  /** Default: all of up to 8 MiB. */
  readonly bodyBounds?: BodyBounds;
  readonly signal: AbortSignal;
}

/** One response. */
export interface HttpResponse {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Uint8Array;
}

/** Sends requests over its own connections. */
export class Transport {
  readonly #options: TransportOptions;
  /** With a proxy: connections that it is still opening are not in Node's pool, so requests are counted instead. */
  readonly #proxied: Semaphore | undefined;
  readonly #own: ConnectionPools;
  /** Separate connections for hosts that redirects name, with a guarded lookup. */
  readonly #redirected: ConnectionPools;
  /** When each connection is replaced, monotonic milliseconds. */
  readonly #retiresAtMs = new WeakMap<Socket, number>();

  constructor(options: TransportOptions) {
    const { maxSockets = MAX_SOCKETS } = options;
    const proxy = proxyOf(options);
    this.#options = options;
    this.#proxied = proxy === undefined ? undefined : new Semaphore(maxSockets);
    this.#own = createPools(maxSockets, proxy);
    this.#redirected = createPools(maxSockets, proxy);
  }

  /**
   * Sends a request and reads the whole response, following redirects with method, body and headers unchanged. Waiting
   * for the limiter does not use up its deadline; nor does waiting for a connection if Vault may create something.
   * Aborting rejects with the signal's reason.
   *
   * @throws VouchsafeError `ERR_VAULT_UNREACHABLE`, `ERR_VAULT_TLS`, `ERR_VAULT_TIMEOUT`,
   * `ERR_VAULT_MALFORMED`, `ERR_VAULT_REDIRECT`, `ERR_VAULT_BAD_REQUEST`.
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    request.signal.throwIfAborted();
    if (Buffer.byteLength(request.body ?? '') > MAX_REQUEST_BYTES) {
      const text = `the request to Vault is larger than ${MAX_REQUEST_BYTES} bytes`;
      throw new VouchsafeError('ERR_VAULT_BAD_REQUEST', text);
    }
    const { timeoutMs, clock } = this.#options;
    const patience = new RestartableDeadline(clock);
    const signal = AbortSignal.any([request.signal, patience.signal]);
    const onSent = (): void => {
      if (request.isCreating === true) patience.start(timeoutMs * CREATING_FACTOR);
    };
    let { url } = request;
    const route: Route = { own: url, ownKind: undefined };
    let hasStarted = false;
    const follow = async (): Promise<HttpResponse> => {
      hasStarted = true;
      patience.start(timeoutMs);
      for (let redirects = 0; ; redirects += 1) {
        const answer = await this.#exchange({ ...request, url, signal, onSent }, route);
        if (answer.location === undefined) return answer;
        if (redirects === 0) route.ownKind = this.#kindOf(request.url, answer);
        const { location } = answer;
        const { redirectHosts: hosts = [] } = this.#options;
        const { isLogin = false } = request;
        url = redirectTarget({
          ...route,
          hosts,
          isLogin,
          from: url,
          location,
          followed: redirects,
        });
      }
    };
    try {
      const { limiter } = request;
      if (limiter === undefined) return await follow();
      patience.start(timeoutMs);
      return await limiter(signal, follow);
    } catch (error) {
      request.signal.throwIfAborted();
      if (patience.signal.aborted) throw timeoutError(url.origin, patience.ms, hasStarted);
      throw this.#failure(error, url);
    } finally {
      patience.end();
    }
  }

  /** Closes every connection; requests under way fail. */
  close(): void {
    for (const { http, https } of [this.#own, this.#redirected]) {
      http.destroy();
      https.destroy();
    }
  }

  async #exchange(request: SentRequest, route: Route): Promise<Answer> {
    if (this.#proxied === undefined) return await this.#answer(request, route);
    return await this.#proxied.run(request.signal, () => this.#answer(request, route));
  }

  /** Behind a proxy only the configured address is known, not the one that is connected. */
  #kindOf(own: URL, { remoteAddress }: Answer): LocalKind | undefined {
    return localKindOf(this.#options.proxy === undefined ? remoteAddress : own.hostname);
  }

  async #answer(request: SentRequest, route: Route): Promise<Answer> {
    const response = await this.#open(request, route);
    this.#checkProxy(request, response);
    const { remoteAddress = '' } = response.socket;
    return {
      status: response.statusCode ?? 0,
      retryAfter: response.headers['retry-after'],
      location: isRedirect(response.statusCode) ? (response.headers.location ?? '') : undefined,
      remoteAddress,
      body: await readBody(response, request),
    };
  }

  #failure(error: unknown, { origin }: URL): VouchsafeError {
    const { proxy } = this.#options;
    return proxy === undefined
      ? connectionError(error, origin)
      : viaProxyError(error, { proxy: proxy.origin, origin });
  }

  /** A proxy that forwards requests responds to them itself; 407 is a status that only proxies have. */
  #checkProxy({ url: { origin } }: SentRequest, response: IncomingMessage): void {
    const { proxy } = this.#options;
    if (proxy === undefined || response.statusCode !== 407) return;
    response.destroy();
    throw proxyProblem(proxyStatusProblem(407, false) ?? '', { proxy: proxy.origin, origin });
  }

  async #open(request: SentRequest, route: Route): Promise<IncomingMessage> {
    const { method, url, headers, body, signal, onSent } = request;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const { lookup: given = systemLookup } = this.#options;
    const isOwn = isSameHost(url, route.own);
    const agents = isOwn ? this.#own : this.#redirected;
    const lookup = isOwn ? given : guardedLookup(given, route);
    const options = { lookup, method, headers, signal, tunnelSignal: signal };
    const outgoing =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...this.#tls(request), ...options, agent: agents.https })
        : httpRequest(url, { ...options, ...this.#forwarded(url), agent: agents.http });
    outgoing.once('socket', (socket) => this.#retirementMs(socket));
    outgoing.once('finish', onSent);
    outgoing.once('response', (response) => {
      // Without it Node reuses the connection as soon as the response is read.
      if (!this.#isReusable(response)) outgoing.shouldKeepAlive = false;
      resolve(response);
    });
    // Not `once`: an abort after the response has started is reported here too, and must not be uncaught.
    outgoing.on('error', reject);
    outgoing.end(body);
    return await promise;
  }

  /** A proxy gets the whole URL of a request without TLS. */
  #forwarded({ href }: URL): RequestOptions {
    return this.#options.proxy === undefined ? {} : { path: href };
  }

  /** Connections to a sealed, standby or failing node are not reused: the address may lead to a better one. */
  #isReusable({ statusCode = 0, socket }: IncomingMessage): boolean {
    const isGood = statusCode < 500 && !STANDBY.includes(statusCode) && !isRedirect(statusCode);
    return isGood && this.#options.clock.monotonicMs() < this.#retirementMs(socket);
  }

  #retirementMs(socket: Socket): number {
    const known = this.#retiresAtMs.get(socket);
    if (known !== undefined) return known;
    const { clock, random } = this.#options;
    const endsAtMs = clock.monotonicMs() + CONNECTION_LIFE_MS * (0.8 + random.next() * 0.4);
    this.#retiresAtMs.set(socket, endsAtMs);
    return endsAtMs;
  }

  /** Part of the key of Node's connection pool: a changed CA or certificate means a new connection. */
  #tls({ identity }: HttpRequest): RequestOptions {
    const ca = this.#options.ca();
    const { tlsServerName } = this.#options;
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
      ...(identity === undefined
        ? {}
        : { cert: identity.certificatePem, key: identity.keyPem.reveal() }),
    };
  }
}

interface SentRequest extends HttpRequest {
  /** Called when all of it has been sent. */
  readonly onSent: () => void;
}

function proxyOf(options: TransportOptions): ProxyOptions | undefined {
  const { proxy: url, ca, lookup = systemLookup, timeoutMs, clock } = options;
  return url === undefined
    ? undefined
    : { url, ca, lookup, timeoutMs: timeoutMs * PROXY_SHARE, clock };
}

/** The original address of a request, and its kind once it is connected. */
interface Route {
  readonly own: URL;
  ownKind: LocalKind | undefined;
}

interface Answer extends HttpResponse {
  readonly location: string | undefined;
  readonly remoteAddress: string;
}

/** Statuses of Enterprise's disaster recovery and performance standbys. */
const STANDBY: readonly number[] = [472, 473];

function isRedirect(status: number | undefined): boolean {
  return status === 301 || status === 302 || status === 307 || status === 308;
}

function timeoutError(origin: string, timeoutMs: number, hasStarted: boolean): VouchsafeError {
  const within = `within ${timeoutMs / 1000} s`;
  const text = hasStarted
    ? `Vault at ${origin} did not respond ${within}`
    : `a request to Vault at ${origin} could not start ${within}: too many others are in progress`;
  return new VouchsafeError('ERR_VAULT_TIMEOUT', text, { details: { address: origin } });
}
