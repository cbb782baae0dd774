/**
 * The HTTP server: reads requests, applies faults, logs, and sends the core's responses.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Reply, VaultCore } from '../core.ts';
import { VaultError } from '../messages.ts';
import { Faults, type FaultResponse, type SeenRequest } from './faults.ts';
import { RateLimiter } from './rate-limit.ts';
import { RequestLog } from './request-log.ts';
import { readRequest, seenRequest, tokenOf } from './request.ts';

/** Certificate and key of a server, in PEM. */
export interface ServerTls {
  readonly certPem: string;
  readonly keyPem: string;
}

interface SentReply extends Reply {
  readonly headers?: Readonly<Record<string, string>>;
}

/** Serves a core on 127.0.0.1. */
export class VaultServer {
  readonly faults = new Faults();
  readonly log = new RequestLog();
  readonly rateLimiter: RateLimiter;
  readonly #core: VaultCore;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #closing = new AbortController();
  readonly #scheme: string;

  constructor(core: VaultCore, tls: ServerTls | undefined) {
    this.#core = core;
    this.rateLimiter = new RateLimiter(core.clock);
    this.#scheme = tls === undefined ? 'http' : 'https';
    // Any client certificate is accepted: the login method verifies it.
    const security = { requestCert: true, rejectUnauthorized: false };
    this.#server =
      tls === undefined
        ? createServer()
        : createTlsServer({ cert: tls.certPem, key: tls.keyPem, ...security });
    // Also those that are still in their handshake, so that none remains when the server closes.
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void this.#answer(request, response).catch((error: unknown) => sendDefect(response, error));
    });
  }

  get address(): string {
    const { port } = this.#server.address() as AddressInfo; // set for a listening TCP server
    return `${this.#scheme}://127.0.0.1:${port}`;
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** Ends all connections and stops. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const accessor = this.#core.tokens.get(tokenOf(request) ?? '')?.accessor;
    const seen = seenRequest(request, accessor);
    const entry = this.log.add(seen, this.#core.clock.now());
    const fault = this.faults.take(seen);
    if (fault === undefined || !(await this.#fail(fault, seen, response))) {
      const reply = await this.#reply(request, seen);
      entry.status = reply.status;
      send(response, reply);
    } else if (response.headersSent) entry.status = response.statusCode;
  }

  async #reply(request: IncomingMessage, seen: SeenRequest): Promise<SentReply> {
    const waitSeconds = this.rateLimiter.excess();
    if (waitSeconds !== undefined) {
      const errors = [`request path "${seen.path}": rate limit quota exceeded`];
      return { status: 429, body: { errors }, headers: { 'retry-after': String(waitSeconds) } };
    }
    try {
      return await this.#core.handle(await readRequest(request, seen));
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      return { status: error.status, body: { errors: [error.message] } };
    }
  }

  /** Whether the fault replaces the response; after a delay Vault still responds. */
  async #fail(fault: FaultResponse, seen: SeenRequest, response: ServerResponse): Promise<boolean> {
    if (fault === 'hang') return true;
    if (fault === 'reset') {
      response.socket?.resetAndDestroy();
      return true;
    }
    if (fault === 'cut') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4096 });
      response.write('{"request_id":"', () => response.destroy());
      return true;
    }
    if (typeof fault === 'object' && 'delayMs' in fault) {
      await this.#core.clock.sleep(fault.delayMs, this.#closing.signal);
      return false;
    }
    sendFault(fault, seen, response);
    return true;
  }
}

function sendFault(
  fault: Extract<FaultResponse, 'garbage' | { status: number } | { redirect: string }>,
  { path }: SeenRequest,
  response: ServerResponse,
): void {
  if (fault === 'garbage') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"data": oops');
  } else if ('redirect' in fault) {
    response.writeHead(307, { location: `${fault.redirect}/v1/${path}` }).end();
  } else {
    const { status, body = { errors: [] }, headers = {} } = fault;
    const isText = typeof body === 'string';
    response.writeHead(status, {
      'content-type': isText ? 'text/html' : 'application/json',
      ...headers,
    });
    response.end(isText ? body : JSON.stringify(body));
  }
}

function send(response: ServerResponse, { status, body, headers }: SentReply): void {
  response.writeHead(status, {
    'cache-control': 'no-store',
    'content-type': 'application/json',
    ...headers,
  });
  response.end(body === undefined ? undefined : `${JSON.stringify(body)}\n`);
}

/** A client that has disconnected needs no response; anything else is a bug of this server, and is reported. */
function sendDefect(response: ServerResponse, error: unknown): void {
  if (response.destroyed || response.headersSent) response.destroy();
  else
    send(response, {
      status: 500,
      body: { errors: [`the embedded Vault has a defect: ${String(error)}`] },
    });
}
