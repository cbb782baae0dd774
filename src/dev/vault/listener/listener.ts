/**
 * The HTTP server: reads requests, applies faults, logs, and sends the core's responses.
 */
import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import type { Clock } from '../../../core/index.ts';
import { jsonReply, type Reply, type VaultCore } from '../core/core.ts';
import { Refusal, type Peer } from '../core/messages.ts';
import { Faults, type FaultResponse, type SeenRequest } from './faults.ts';
import { LIST_STAND_IN, ListVerb } from './list-verb.ts';
import { RateLimiter } from './rate-limit.ts';
import { RequestLog } from './request-log.ts';
import { readRequest, seenRequest } from './request.ts';

/** Certificate and key of a server, in PEM. */
export interface ServerTls {
  readonly certPem: string;
  readonly keyPem: string;
}

const STANDARD_HEADERS = {
  'cache-control': 'no-store',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
};

/** Serves a core on 127.0.0.1. */
export class Listener {
  readonly faults = new Faults();
  readonly log = new RequestLog();
  readonly rateLimiter: RateLimiter;
  readonly #core: VaultCore;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #http = createHttpServer();
  readonly #sockets = new Set<Socket>();
  readonly #closing = new AbortController();
  readonly #scheme: string;

  constructor(core: VaultCore, tls: ServerTls | undefined) {
    this.#core = core;
    this.#clock = core.clock;
    this.rateLimiter = new RateLimiter(core.clock);
    this.#scheme = tls === undefined ? 'http' : 'https';
    const accept = (socket: Socket): void => this.#accept(socket);
    this.#server =
      tls === undefined
        ? createTcpServer(accept)
        : createTlsServer(
            // Any certificate is requested and accepted: the login methods verify it themselves.
            { cert: tls.certPem, key: tls.keyPem, requestCert: true, rejectUnauthorized: false },
            accept,
          );
    // Before the handshake too, so that none is left out when the server closes.
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#http.on('request', (request: IncomingMessage, response: ServerResponse) => {
      // Handled to its end here; nobody waits for it.
      void this.#answer(request, response).catch((error: unknown) => sendDefect(response, error));
    });
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  get address(): string {
    const { port } = this.#server.address() as AddressInfo; // a TCP server that listens has one
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

  #accept(socket: Socket): void {
    // Head and body of a response are two writes; without this the second waits for the client.
    socket.setNoDelay(true);
    this.#http.emit('connection', new ListVerb(socket));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === LIST_STAND_IN) request.method = 'LIST';
    const accessor = this.#accessorOf(request);
    const seen = seenRequest(request, accessor);
    const entry = this.log.add(seen, this.#clock.now());
    const socket = socketOf(request);
    const fault = this.faults.take(seen);
    if (fault !== undefined && (await this.#fail(fault, seen, { socket, response }))) {
      if (response.headersSent) entry.status = response.statusCode;
      return;
    }
    const reply = await this.#reply(request, seen, peerOf(socket));
    entry.status = reply.status;
    send(response, reply);
  }

  async #reply(request: IncomingMessage, seen: SeenRequest, peer: Peer): Promise<Reply> {
    const waitSeconds = this.rateLimiter.excess();
    if (waitSeconds !== undefined) {
      const text = `request path "${seen.path}": rate limit quota exceeded`;
      const reply = jsonReply(429, { errors: [text] });
      return { ...reply, headers: { 'retry-after': String(waitSeconds) } };
    }
    try {
      return await this.#core.handle(await readRequest(request, peer));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return jsonReply(error.status, { errors: [error.message] });
    }
  }

  #accessorOf(request: IncomingMessage): string | undefined {
    const token = request.headers['x-vault-token'];
    return typeof token === 'string' ? this.#core.tokens.get(token)?.accessor : undefined;
  }

  /** Whether the fault replaces the response; after a delay Vault still responds. */
  async #fail(fault: FaultResponse, seen: SeenRequest, victim: Victim): Promise<boolean> {
    const { socket, response } = victim;
    if (fault === 'hang') return true;
    if (fault === 'reset') {
      socket.resetAndDestroy();
      return true;
    }
    if (fault === 'cut') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4096 });
      response.write('{"request_id":"', () => socket.destroy());
      return true;
    }
    if (fault === 'garbage') {
      send(response, { status: 200, contentType: 'application/json', body: '{"data": oops' });
      return true;
    }
    if ('delayMs' in fault) {
      await this.#clock.sleep(fault.delayMs, this.#closing.signal);
      return false;
    }
    send(response, faultReply(fault, seen));
    return true;
  }
}

interface Victim {
  readonly socket: Socket;
  readonly response: ServerResponse;
}

function faultReply(
  fault: Extract<FaultResponse, { status: number } | { redirect: string }>,
  seen: SeenRequest,
): Reply {
  if ('redirect' in fault) {
    const headers = { location: `${fault.redirect}/v1/${seen.path}` };
    return { status: 307, contentType: 'text/html', body: '', headers };
  }
  const { status, body = { errors: [] }, headers = {} } = fault;
  return typeof body === 'string'
    ? { status, contentType: 'text/html', body, headers }
    : { status, contentType: 'application/json', body: JSON.stringify(body), headers };
}

function send(response: ServerResponse, reply: Reply): void {
  response.writeHead(reply.status, {
    ...STANDARD_HEADERS,
    'content-type': reply.contentType,
    ...reply.headers,
  });
  response.end(reply.body);
}

/** A client that has disconnected needs no response; anything else is a bug of this server, and is reported. */
function sendDefect(response: ServerResponse, error: unknown): void {
  if (response.destroyed || response.headersSent) {
    response.destroy();
    return;
  }
  const text = `the embedded Vault has a defect: ${String(error)}`;
  send(response, jsonReply(500, { errors: [text] }));
}

/** The connection below the stream that the parser reads from. */
function socketOf(request: IncomingMessage): Socket {
  const stream: unknown = request.socket;
  if (stream instanceof ListVerb) return stream.socket;
  throw new TypeError('a request came over a connection that the listener did not accept');
}

function peerOf(socket: Socket): Peer {
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  if (!(socket instanceof TLSSocket)) return { address, tls: false, certificate: undefined };
  return { address, tls: true, certificate: socket.getPeerX509Certificate() };
}
