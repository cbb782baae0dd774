/**
 * HTTP to Vault with Node's own client: keep-alive connections, one deadline per request, a CA that may change,
 * bounded bodies, safe redirects. It knows nothing about Vault's API.
 */
import {
  Agent as HttpAgent,
  request as httpRequest,
  type AgentOptions as HttpAgentOptions,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction, Socket } from 'node:net';
import { VouchsafeError, type Clock, type Random, type Secret } from '../core/index.ts';
import { RestartableDeadline } from '../async/index.ts';
import { connectionError } from './connection-error.ts';
import {
  guardedLookup,
  isSameHost,
  localKindOf,
  redirectTarget,
  type LocalKind,
} from './redirect.ts';
import type { RequestLimiter } from './types.ts';

/** Largest response that is read, in bytes. */
export const MAX_RESPONSE_BYTES = 8 * 2 ** 20;
/** Largest body that is sent, in bytes. */
export const MAX_REQUEST_BYTES = 2 ** 20;

/** Connections of one workload to one Vault node; further requests wait for one within their deadline. */
const MAX_SOCKETS = 8;
/** Idle connections kept for the next request. */
const MAX_IDLE_SOCKETS = 2;
/** Idle connections close after this time, in milliseconds: well before load balancers drop them. */
const IDLE_MS = 15_000;
/**
 * Requests that may create a token or a credential wait this many times longer for their response: if it is missed, a second
 * one is created and the first is never revoked. By default a minute, as in Vault's own clients.
 */
const CREATING_FACTOR = 3;
/** A connection is used for this long, in milliseconds, ±20 %: the name may resolve to other nodes by then. */
const CONNECTION_LIFE_MS = 5 * 60_000;

function poolOf(maxSockets: number): HttpAgentOptions {
  return { keepAlive: true, maxSockets, maxFreeSockets: MAX_IDLE_SOCKETS, timeout: IDLE_MS };
}

/** A client certificate with its key. */
export interface TlsIdentity {
  readonly certificatePem: string;
  readonly keyPem: Secret<string>;
}

/** Settings of a {@link Transport}. */
export interface TransportOptions {
  /** PEM of the trusted CAs, called for each request; undefined: those of Node. */
  readonly ca: () => string | undefined;
  /** The name that the certificate must be for; undefined: the host of the address. */
  readonly tlsServerName: string | undefined;
  /** Further hosts that redirects may lead to. Default: none. */
  readonly redirectHosts?: readonly string[];
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

/** How much of a response is kept in memory. */
export interface BodyBounds {
  /** Bytes after these are read and dropped. */
  readonly keptBytes: number;
  /** Called with the minimum length of the response before that much is kept. An error that it throws ends the request. */
  grow(bytes: number): void;
}

/** One request. */
export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Presented if the connection is TLS. */
  readonly identity?: TlsIdentity;
  /** Whether it carries login credentials; redirects to other hosts are then rejected. Default: false. */
  readonly isLogin?: boolean;
  /** Whether Vault may create a token or a lease for it; its deadline is then longer. Default: false. */
  readonly isCreating?: boolean;
  /** Decides when it may start. Default: immediately. */
  readonly limiter?: RequestLimiter;
  /** Default: all of up to {@link MAX_RESPONSE_BYTES}. */
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
  readonly #own: Agents;
  /** Separate connections for hosts that redirects name, with a guarded lookup. */
  readonly #redirected: Agents;
  /** When each connection is replaced, monotonic milliseconds. */
  readonly #retiresAtMs = new WeakMap<Socket, number>();

  constructor(options: TransportOptions) {
    const pool = poolOf(options.maxSockets ?? MAX_SOCKETS);
    this.#options = options;
    this.#own = agentsOf(pool);
    this.#redirected = agentsOf(pool);
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
        if (redirects === 0) route.ownKind = localKindOf(answer.remoteAddress);
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
      throw connectionError(error, url.origin);
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
    const response = await this.#open(request, route);
    const { remoteAddress = '' } = response.socket;
    return {
      status: response.statusCode ?? 0,
      retryAfter: response.headers['retry-after'],
      location: isRedirect(response.statusCode) ? (response.headers.location ?? '') : undefined,
      remoteAddress,
      body: await readBody(response, request),
    };
  }

  async #open(request: SentRequest, route: Route): Promise<IncomingMessage> {
    const { method, url, headers, body, signal, onSent } = request;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const { lookup: given = systemLookup } = this.#options;
    const isOwn = isSameHost(url, route.own);
    const agents = isOwn ? this.#own : this.#redirected;
    const lookup = isOwn ? given : guardedLookup(given, route);
    const options = { lookup, method, headers, signal };
    const outgoing =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...this.#tls(request), ...options, agent: agents.https })
        : httpRequest(url, { ...options, agent: agents.http });
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

interface Agents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

function agentsOf(pool: HttpAgentOptions): Agents {
  const https = new HttpsAgent({
    ...pool,
    minVersion: 'TLSv1.2',
    // Explicit, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 would disable it.
    rejectUnauthorized: true,
  });
  return { http: new HttpAgent(pool), https };
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

async function readBody(
  response: IncomingMessage,
  { url: { origin }, bodyBounds }: Pick<HttpRequest, 'url' | 'bodyBounds'>,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const keptBytes = bodyBounds?.keptBytes ?? Infinity;
  let size = 0;
  const grow = (bytes: number): void => {
    if (bytes > MAX_RESPONSE_BYTES)
      throw malformed(origin, `is longer than ${MAX_RESPONSE_BYTES} bytes`);
    bodyBounds?.grow(Math.min(bytes, keptBytes));
  };
  try {
    // A response that announces itself as too long is not read at all.
    grow(Number(response.headers['content-length'] ?? 0));
    // Leaving the loop destroys the connection, so that nothing more is received.
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      const left = Math.max(0, keptBytes - size);
      size += chunk.byteLength;
      grow(size);
      if (left > 0) chunks.push(left < chunk.byteLength ? chunk.subarray(0, left) : chunk);
    }
  } catch (error) {
    response.destroy();
    if (error instanceof VouchsafeError) throw error;
    throw malformed(origin, 'was cut off', error);
  }
  return Buffer.concat(chunks);
}

function malformed(origin: string, what: string, cause?: unknown): VouchsafeError {
  const text = `the response from ${origin} ${what}; is that address Vault?`;
  return new VouchsafeError('ERR_VAULT_MALFORMED', text, { cause, details: { address: origin } });
}

function timeoutError(origin: string, timeoutMs: number, hasStarted: boolean): VouchsafeError {
  const within = `within ${timeoutMs / 1000} s`;
  const text = hasStarted
    ? `Vault at ${origin} did not respond ${within}`
    : `a request to Vault at ${origin} could not start ${within}: too many others are in progress`;
  return new VouchsafeError('ERR_VAULT_TIMEOUT', text, { details: { address: origin } });
}
