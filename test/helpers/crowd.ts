/** Strangers who hold connections, and say nothing or too little. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** How a crowd holds its connections. */
export interface CrowdOptions {
  readonly port: number;
  readonly size: number;
  /** Shakes hands. */
  readonly isTls?: boolean;
  /** What each connection sends. */
  readonly says?: string;
  /** How often in all a connection that was closed is opened again. */
  readonly reopenings?: number;
}

/** A crowd of connections on loopback. */
export class Crowd implements Disposable {
  readonly #options: CrowdOptions;
  readonly #sockets = new Set<Socket>();
  #reopenings: number;
  #closed = 0;

  private constructor(options: CrowdOptions) {
    this.#options = options;
    this.#reopenings = options.reopenings ?? 0;
  }

  /** Resolves when all have been connected. */
  static async gather(options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(options);
    const connected = Array.from({ length: options.size }, () => crowd.#open());
    await Promise.all(connected);
    return crowd;
  }

  /** Connections that the other side has closed. */
  get closed(): number {
    return this.#closed;
  }

  /** Connections that are open. */
  get size(): number {
    return this.#sockets.size;
  }

  /** How often a connection may still be opened again. */
  get reopeningsLeft(): number {
    return this.#reopenings;
  }

  [Symbol.dispose](): void {
    this.#reopenings = 0;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #open(): Promise<void> {
    const { port, isTls, says } = this.#options;
    const at = { port, host: '127.0.0.1' };
    const socket = isTls === true ? connectTls({ ...at, rejectUnauthorized: false }) : connect(at);
    this.#sockets.add(socket);
    socket.on('error', () => undefined).on('data', () => undefined);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#closed += 1;
      if (this.#reopenings === 0) return;
      this.#reopenings -= 1;
      void this.#open();
    });
    // One that is closed before it could begin has had its turn as well.
    const begun = once(socket, isTls === true ? 'secureConnect' : 'connect');
    await Promise.race([begun, once(socket, 'close')]).catch(() => undefined);
    if (says !== undefined) socket.write(says);
  }
}
