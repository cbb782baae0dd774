/**
 * An HTTP proxy on loopback, honest or hostile: it opens tunnels (CONNECT) and forwards requests. Names in `.example`
 * are those of this machine to it, and to nobody else.
 */
import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { TLSSocket } from 'node:tls';

/** What the proxy does with a CONNECT. */
export type ProxyBehaviour =
  | 'tunnel'
  /** Says nothing. */
  | 'hang'
  /** Closes the connection without a response. */
  | 'close'
  /** Responds with what is not HTTP. */
  | 'garbage'
  /** Sends a head without end. */
  | 'endless head'
  /** Sends one byte of the head and no more. */
  | 'slow head'
  /** Opens a tunnel to a server that does not speak TLS. */
  | 'tunnel to garbage'
  /** Sends bytes right after the head, before TLS begins. */
  | 'early bytes'
  /** Rejects with this status, and a body. */
  | number;

/** What arrived: a CONNECT, or a request to be forwarded. */
export interface ProxyRequest {
  readonly method: string;
  /** `host:port` of a CONNECT, or the URL of a request. */
  readonly target: string;
  readonly headers: IncomingMessage['headers'];
  /** Whether the client presented a certificate to the proxy. */
  readonly hasClientCertificate: boolean;
}

/** A running proxy. */
export interface ConnectProxy {
  /** `http://127.0.0.1:port` or `https://…`. */
  readonly url: string;
  readonly requests: readonly ProxyRequest[];
  behaviour: ProxyBehaviour;
  /** Open connections of clients. */
  openConnections(): number;
  /** Resolves when that many requests have arrived in all. */
  arrived(count: number): Promise<void>;
  /** Breaks all connections. */
  breakConnections(): void;
}

/** Text in every response of a hostile proxy, which no message may quote. */
export const PROXY_TEXT = 'text-of-the-proxy';

const HEADS: Readonly<Record<string, string>> = {
  garbage: `SSH-2.0-${PROXY_TEXT}\r\n`,
  'slow head': 'H',
  'tunnel to garbage': `HTTP/1.1 200 OK\r\n\r\n`,
  'early bytes': `HTTP/1.1 200 OK\r\n\r\n${PROXY_TEXT}`,
};

/** Starts a proxy that ends with the test. */
export async function startConnectProxy(
  t: TestContext,
  tls?: ServerOptions,
): Promise<ConnectProxy> {
  const requests: ProxyRequest[] = [];
  const waiting = new Set<() => void>();
  const sockets = new Set<Socket>();
  const track = (socket: Socket, onClose?: () => void): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      onClose?.();
    });
  };
  const clients = new Set<Socket>();
  const note = ({ method = '', url = '', headers, socket }: IncomingMessage): void => {
    const hasClientCertificate =
      socket instanceof TLSSocket && socket.getPeerX509Certificate() !== undefined;
    requests.push({
      method,
      target: url,
      headers,
      hasClientCertificate,
    });
    for (const wake of waiting) wake();
  };
  const forward = (incoming: IncomingMessage, response: ServerResponse): void => {
    note(incoming);
    if (typeof proxy.behaviour === 'number') {
      response.writeHead(proxy.behaviour, { 'Proxy-Authenticate': 'Basic' }).end(PROXY_TEXT);
      return;
    }
    const { method, headers, url = '' } = incoming;
    const outgoing = httpRequest(url, { method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  };
  const server = tls === undefined ? createServer(forward) : createTlsServer(tls, forward);
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    clients.add(socket);
    track(socket, () => clients.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  server.on('connect', (incoming: IncomingMessage, client: Socket) => {
    note(incoming);
    respond(proxy.behaviour, incoming.url ?? '', client, track);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    await closed;
  });
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind of address
  const proxy: ConnectProxy = {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    behaviour: 'tunnel',
    openConnections: () => clients.size,
    async arrived(count) {
      while (requests.length < count) {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        const wake = (): void => resolve(undefined);
        waiting.add(wake);
        await promise;
        waiting.delete(wake);
      }
    },
    breakConnections() {
      for (const socket of sockets) socket.destroy();
    },
  };
  return proxy;
}

function respond(
  behaviour: ProxyBehaviour,
  target: string,
  client: Socket,
  track: (socket: Socket) => void,
): void {
  if (typeof behaviour === 'number') {
    const head = `HTTP/1.1 ${behaviour} ${PROXY_TEXT}\r\nProxy-Authenticate: Basic realm="${PROXY_TEXT}"\r\n`;
    client.end(`${head}Content-Length: ${PROXY_TEXT.length}\r\n\r\n${PROXY_TEXT}`);
    return;
  }
  if (behaviour === 'tunnel') {
    openTunnel(target, client, track);
    return;
  }
  client.resume(); // otherwise the end of the client is not noticed
  client.on('end', () => client.destroy());
  switch (behaviour) {
    case 'hang':
      return;
    case 'close':
      client.end();
      return;
    case 'endless head':
      client.write('HTTP/1.1 200 OK\r\n');
      sendWithoutEnd(client);
      return;
    case 'tunnel to garbage':
      client.write(HEADS[behaviour] ?? '');
      client.once('data', () => client.end(`no TLS: ${PROXY_TEXT}`));
      return;
    default:
      client.write(HEADS[behaviour] ?? '');
  }
}

function openTunnel(target: string, client: Socket, track: (socket: Socket) => void): void {
  const { hostname, port } = new URL(`http://${target}`);
  const host = hostname.endsWith('.example') ? '127.0.0.1' : hostname;
  const upstream = connect(Number(port || 80), host, () => {
    client.write('HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n');
    client.pipe(upstream).pipe(client);
  });
  track(upstream);
  upstream.on('close', () => client.destroy());
  client.on('close', () => upstream.destroy());
}

function sendWithoutEnd(client: Socket): void {
  const more = (): void => {
    if (!client.destroyed) client.write(`X-Filler: ${PROXY_TEXT.repeat(50)}\r\n`, more);
  };
  more();
}
