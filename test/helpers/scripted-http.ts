/** An HTTP(S) server on real sockets whose every answer, also a broken one, a test decides. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { TLSSocket } from 'node:tls';

/** What arrived. */
export interface ScriptedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Parsed from `text`; undefined where that is empty. */
  readonly json: unknown;
  /** Counts connections from 0: two requests with the same number came over one connection. */
  readonly connection: number;
  /** Common name of the client's certificate. */
  readonly clientName: string | undefined;
}

/** An answer, or a way to fail. */
export type Reply =
  | {
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string>>;
      /** Objects go out as JSON; texts and bytes as they are. */
      readonly body?: object | string;
    }
  /** Says nothing. */
  | 'hang'
  /** Resets the connection before an answer. */
  | 'reset'
  /** Promises more than it sends, then closes. */
  | 'cut'
  /** Sends the head of an answer and no body. */
  | 'stall'
  /** Sends what is not HTTP. */
  | 'garbage';

/** A running server. */
export interface ScriptedServer {
  /** `http://127.0.0.1:port` or `https://…`. */
  readonly address: string;
  readonly requests: readonly ScriptedRequest[];
  /** Open connections. */
  openConnections(): number;
  /** Resolves when that many requests have arrived in all. */
  arrived(count: number): Promise<void>;
  /** Takes the place of the script given at the start. */
  script: (request: ScriptedRequest) => Reply | Promise<Reply>;
}

/** Starts a server that ends with the test. */
export async function startScripted(
  t: TestContext,
  script: ScriptedServer['script'],
  tls?: ServerOptions,
): Promise<ScriptedServer> {
  const requests: ScriptedRequest[] = [];
  const sockets = new Map<Socket, number>();
  const waiting = new Set<() => void>();
  const listener = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = await receive(incoming, sockets.get(incoming.socket) ?? -1);
    requests.push(request);
    for (const wake of waiting) wake();
    send(await server.script(request), response);
  };
  const onRequest = (incoming: IncomingMessage, response: ServerResponse): void => {
    listener(incoming, response).catch(() => incoming.destroy());
  };
  const http = tls === undefined ? createServer(onRequest) : createTlsServer(tls, onRequest);
  let connections = 0;
  http.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    sockets.set(socket, connections);
    connections += 1;
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  // A failed handshake is what some tests want.
  http.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    const closed = new Promise((resolve) => http.close(resolve));
    http.closeAllConnections();
    for (const socket of sockets.keys()) socket.destroy();
    await closed;
  });
  const { port } = http.address() as AddressInfo; // a TCP server has no other kind of address
  const server: ScriptedServer = {
    address: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    script,
    openConnections: () => sockets.size,
    async arrived(count) {
      while (requests.length < count) {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        const wake = (): void => resolve(undefined);
        waiting.add(wake);
        await promise;
        waiting.delete(wake);
      }
    },
  };
  return server;
}

/** A script that gives the replies in order and fails the test when there are more requests. */
export function inOrder(...replies: readonly Reply[]): ScriptedServer['script'] {
  const rest = [...replies];
  return (request) => {
    const reply = rest.shift();
    assert.ok(reply !== undefined, `unexpected ${request.method} ${request.path}`);
    return reply;
  };
}

/** A script by `METHOD path`, e.g. `GET /v1/kv/app`; anything else is answered as Vault answers the unknown. */
export function byRoute(routes: Readonly<Record<string, Reply>>): ScriptedServer['script'] {
  return ({ method, path }) => routes[`${method} ${path}`] ?? { status: 404, body: { errors: [] } };
}

async function receive(incoming: IncomingMessage, connection: number): Promise<ScriptedRequest> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming as AsyncIterable<Uint8Array>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const { socket } = incoming;
  return {
    method: incoming.method ?? '',
    path: incoming.url ?? '',
    headers: incoming.headers,
    text,
    json: text === '' ? undefined : JSON.parse(text),
    connection,
    clientName: socket instanceof TLSSocket ? commonName(socket) : undefined,
  };
}

function commonName(socket: TLSSocket): string | undefined {
  const name: unknown = socket.getPeerX509Certificate()?.subject;
  return typeof name === 'string' ? name.replace(/^CN=/, '') : undefined;
}

function send(reply: Reply, response: ServerResponse): void {
  if (typeof reply === 'string') {
    misbehave(reply, response);
    return;
  }
  const { status = 200, headers = {}, body = '' } = reply;
  const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(text);
}

function misbehave(way: Extract<Reply, string>, response: ServerResponse): void {
  const socket = response.socket;
  if (way === 'reset' && socket !== null) socket.resetAndDestroy();
  if (way === 'garbage' && socket !== null) socket.end('SSH-2.0-OpenSSH_9.9\r\n');
  if (way !== 'cut' && way !== 'stall') return;
  response.writeHead(200, { 'Content-Length': '1000' });
  response.write('{"data":{"pass');
  if (way === 'cut') socket?.end();
}
