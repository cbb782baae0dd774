/**
 * HTTP to Vault on Node's own client: kept-alive connections, one deadline per request, TLS that follows a
 * changed CA, bounded bodies, safe redirects. It knows nothing of Vault's API.
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
import { Patience } from '../async/index.ts';
import { connectionError } from './connection-error.ts';
import {
  guardedLookup,
  isSameHost,
  localKindOf,
  redirectTarget,
  type LocalKind,
} from './redirect.ts';
import type { RequestTurns } from './types.ts';

/** Largest answer that is read, in bytes. */
export const MAX_ANSWER_BYTES = 8 * 2 ** 20;
/** Largest body that is sent, in bytes. */
export const MAX_REQUEST_BYTES = 2 ** 20;

/** Connections of one workload to one Vault node; further requests wait for their turn within their deadline. */
const MAX_SOCKETS = 8;
/** Idle connections kept for the next request. */
const MAX_IDLE_SOCKETS = 2;
/** Idle connections close after this time, in milliseconds: well before load balancers forget them. */
const IDLE_MS = 15_000;
/**
 * What a request may have made is waited for as many times as long as any other answer: a token or a credential whose answer
 * is not taken is made a second time, and nobody knows of the first. By default a minute, as in Vault's own clients.
 */
const MAKING_FACTOR = 3;
/** A connection serves for this long, in milliseconds, give or take a fifth: the name may stand for other nodes by now. */
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
  /** PEM of the trusted CAs, asked for at each request; undefined trusts what Node trusts. */
  readonly ca: () => string | undefined;
  /** The name that the certificate must be for; undefined takes the host of the address. */
  readonly tlsServerName: string | undefined;
  /** Hosts that redirects may lead to, beside that of the request. Default: none. */
  readonly redirectHosts?: readonly string[];
  /** Resolves the names of hosts. Default: as the system does. */
  readonly lookup?: LookupFunction;
  /** Deadline of a turn, and then of a request with its redirects, in milliseconds. */
  readonly timeoutMs: number;
  /** Most connections to one Vault node. Default: as many as one workload has use for. */
  readonly maxSockets?: number;
  /** Tells how old a connection is. */
  readonly clock: Clock;
  /** Spreads the ends of connections. */
  readonly random: Random;
}

/** How much of an answer comes into memory. */
export interface BodyBounds {
  /** What comes after so many bytes is read and dropped. */
  readonly keptBytes: number;
  /** Told how long the answer is at least, before so much of it is kept. What it throws ends the request. */
  grow(bytes: number): void;
}

/** One request. */
export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Presented where the connection is TLS. */
  readonly identity?: TlsIdentity;
  /** Whether it holds what logs somebody in: redirects to other hosts are refused then. Default: it does not. */
  readonly isLogin?: boolean;
  /** Whether Vault makes something for it that lives on: its answer is waited for longer. Default: it does not. */
  readonly isMaking?: boolean;
  /** When it may begin. Default: at once. */
  readonly turns?: RequestTurns;
  /** Default: all of up to {@link MAX_ANSWER_BYTES}. */
  readonly reading?: BodyBounds;
  readonly signal: AbortSignal;
}

/** One answer. */
export interface HttpResponse {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Uint8Array;
}

/** Sends requests over connections of its own. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #own: Agents;
  /** Connections to hosts that redirects name, whose look-up is guarded: not mixed with the others. */
  readonly #redirected: Agents;
  /** When each connection has served for long enough, monotonic milliseconds. */
  readonly #endsAtMs = new WeakMap<Socket, number>();

  constructor(options: TransportOptions) {
    const pool = poolOf(options.maxSockets ?? MAX_SOCKETS);
    this.#options = options;
    this.#own = agentsOf(pool);
    this.#redirected = agentsOf(pool);
  }

  /**
   * Sends a request and reads the whole answer, following redirects with method, body and headers unchanged. Waiting for
   * a turn takes nothing of its time; nor does waiting for a connection, where Vault makes something. Aborting rejects with
   * the signal's reason.
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
    const patience = new Patience(clock);
    const signal = AbortSignal.any([request.signal, patience.signal]);
    const onSent = (): void => {
      if (request.isMaking === true) patience.start(timeoutMs * MAKING_FACTOR);
    };
    let { url } = request;
    const route: Route = { own: url, ownKind: undefined };
    let hasBegun = false;
    const follow = async (): Promise<HttpResponse> => {
      hasBegun = true;
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
      const { turns } = request;
      if (turns === undefined) return await follow();
      patience.start(timeoutMs);
      return await turns(signal, follow);
    } catch (error) {
      request.signal.throwIfAborted();
      if (patience.signal.aborted) throw timeoutError(url.origin, patience.ms, hasBegun);
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
    outgoing.once('socket', (socket) => this.#endOf(socket));
    outgoing.once('finish', onSent);
    outgoing.once('response', (response) => {
      // Without it Node hands the connection to the next request as soon as the answer is read.
      if (!this.#isWorthKeeping(response)) outgoing.shouldKeepAlive = false;
      resolve(response);
    });
    // Not `once`: an abort after the answer has begun is reported here too, and must not be uncaught.
    outgoing.on('error', reject);
    outgoing.end(body);
    return await promise;
  }

  /** A node that is sealed, on standby or in trouble is left, for the address may lead to a better one. */
  #isWorthKeeping({ statusCode = 0, socket }: IncomingMessage): boolean {
    const isGood = statusCode < 500 && !STANDBY.includes(statusCode) && !isRedirect(statusCode);
    return isGood && this.#options.clock.monotonicMs() < this.#endOf(socket);
  }

  #endOf(socket: Socket): number {
    const known = this.#endsAtMs.get(socket);
    if (known !== undefined) return known;
    const { clock, random } = this.#options;
    const endsAtMs = clock.monotonicMs() + CONNECTION_LIFE_MS * (0.8 + random.next() * 0.4);
    this.#endsAtMs.set(socket, endsAtMs);
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
  /** Called when all of it is on its way. */
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
    // Said in full, because otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 would switch it off.
    rejectUnauthorized: true,
  });
  return { http: new HttpAgent(pool), https };
}

/** Where a request began, and what kind of address that turned out to be. */
interface Route {
  readonly own: URL;
  ownKind: LocalKind | undefined;
}

interface Answer extends HttpResponse {
  readonly location: string | undefined;
  readonly remoteAddress: string;
}

/** How Enterprise's standbys of disaster recovery and performance answer. */
const STANDBY: readonly number[] = [472, 473];

function isRedirect(status: number | undefined): boolean {
  return status === 301 || status === 302 || status === 307 || status === 308;
}

async function readBody(
  response: IncomingMessage,
  { url: { origin }, reading }: Pick<HttpRequest, 'url' | 'reading'>,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const keptBytes = reading?.keptBytes ?? Infinity;
  let size = 0;
  const grow = (bytes: number): void => {
    if (bytes > MAX_ANSWER_BYTES) throw malformed(origin, `is over ${MAX_ANSWER_BYTES} bytes`);
    reading?.grow(Math.min(bytes, keptBytes));
  };
  try {
    // What is said to be too long is not begun.
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
  const text = `the answer from ${origin} ${what}; is that address Vault?`;
  return new VouchsafeError('ERR_VAULT_MALFORMED', text, { cause, details: { address: origin } });
}

function timeoutError(origin: string, timeoutMs: number, hasBegun: boolean): VouchsafeError {
  const within = `within ${timeoutMs / 1000} s`;
  const text = hasBegun
    ? `Vault at ${origin} did not answer ${within}`
    : `a request to Vault at ${origin} could not begin ${within}: too many others are under way`;
  return new VouchsafeError('ERR_VAULT_TIMEOUT', text, { details: { address: origin } });
}
