/**
 * A TCP proxy on loopback that breaks what passes through it, as it is set: between the agent and Vault, or between
 * Vault and its database.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './free-port.ts';

/** How connections misbehave, open ones included. */
export type ProxyFault =
  /** Nobody listens; open connections break. */
  | { readonly kind: 'refuse' }
  /** Takes requests and lets nothing through; once it is over, all that has waited. */
  | { readonly kind: 'hang' }
  /** Every request arrives this much later. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** Half of an answer, then a reset. */
  | { readonly kind: 'reset' }
  /** Half of an answer, then an orderly end. */
  | { readonly kind: 'cut' }
  /** Answers with what is no protocol. */
  | { readonly kind: 'garbage' }
  /** Answers as an HTTP server that has had enough. */
  | { readonly kind: 'busy'; readonly status: 429 | 503; readonly retryAfterSeconds: number };

/** A running proxy. */
export interface FaultProxy extends AsyncDisposable {
  /** `127.0.0.1:port`; stays the same. */
  readonly address: string;
  /** Misbehaves until it is set to undefined. */
  fault(fault: ProxyFault | undefined): Promise<void>;
}

/** Starts a proxy to a port of 127.0.0.1. The caller disposes of it. */
export async function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  const proxy = new Proxying(targetPort);
  await proxy.listen(await freePort());
  return proxy;
}

class Proxying implements FaultProxy {
  readonly #targetPort: number;
  readonly #sockets = new Set<Socket>();
  readonly #waiting: (() => void)[] = [];
  #server: Server | undefined;
  #port = 0;
  #fault: ProxyFault | undefined;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async listen(port: number): Promise<void> {
    const server = createServer((client) => this.#join(client));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.#port = port;
  }

  async fault(fault: ProxyFault | undefined): Promise<void> {
    this.#fault = fault;
    for (const release of this.#waiting.splice(0)) release();
    if (fault?.kind === 'refuse') await this.#close();
    else if (this.#server === undefined) await this.listen(this.#port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, 'close');
  }

  #join(client: Socket): void {
    const upstream = connect(this.#targetPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined); // 'close' follows
      socket.on('end', () => other.end());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroySoon();
      });
    }
    client.on('data', (chunk: Buffer) => this.#onRequest(client, upstream, chunk));
    upstream.on('data', (chunk: Buffer) => this.#onAnswer(client, chunk));
  }

  #onRequest(client: Socket, upstream: Socket, chunk: Buffer): void {
    const fault = this.#fault;
    switch (fault?.kind) {
      case 'hang':
        this.#wait(client, () => this.#onRequest(client, upstream, chunk));
        return;
      case 'garbage':
        client.end('\u0000\u0001 this is no protocol\r\n\r\n');
        return;
      case 'busy':
        client.end(busyAnswer(fault.status, fault.retryAfterSeconds));
        return;
      case 'delay':
        client.pause();
        setTimeout(() => {
          upstream.write(chunk);
          client.resume();
        }, fault.delayMs);
        return;
      default:
        upstream.write(chunk);
    }
  }

  #onAnswer(client: Socket, chunk: Buffer): void {
    const half = chunk.subarray(0, chunk.length / 2);
    switch (this.#fault?.kind) {
      case 'hang':
        this.#wait(client, () => this.#onAnswer(client, chunk));
        return;
      case 'cut':
        client.end(half);
        return;
      case 'reset':
        client.write(half, () => client.resetAndDestroy());
        return;
      default:
        client.write(chunk);
    }
  }

  /** Chunks of one connection keep their order: they wait in one line. */
  #wait(client: Socket, release: () => void): void {
    this.#waiting.push(() => {
      if (!client.destroyed) release();
    });
  }
}

function busyAnswer(status: number, retryAfterSeconds: number): string {
  const body = '{"errors":["too busy"]}';
  return [
    `HTTP/1.1 ${status} Busy`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    `Retry-After: ${retryAfterSeconds}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
