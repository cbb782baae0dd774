/**
 * The connections of a listener. There is always room for one more: it takes the place of the one that has been idle
 * for longest.
 */
import { Socket, type Server } from 'node:net';
import { NO_METRICS, type Counter, type Metrics } from '../core/index.ts';
import { isExemptFromPeerLimit, peerOf } from './address.ts';
import type { Limits } from './limits.ts';

interface Connection {
  readonly key: string;
  readonly socket: Socket;
  readonly peer: string;
  /** Requests that are being answered. */
  requests: number;
}

/** What identifies the connection of a socket, also where the socket is one of TLS on top of it. */
type SocketEnds = Pick<Socket, 'remoteAddress' | 'remotePort'>;

/**
 * Follows the connections of servers. A connection is idle unless a request of it is being answered: while TLS shakes
 * hands, while headers or a body come in, between requests, and while an answer waits to be fetched.
 */
export class Connections {
  readonly #limits: Limits;
  readonly #nodeAddresses: readonly string[];
  readonly #closed: Counter;
  readonly #open = new Map<string, Connection>();
  /** Those that have been idle for longest come first. */
  readonly #idle = new Set<Connection>();
  /** The oldest come first. */
  readonly #busy = new Set<Connection>();
  readonly #ofPeer = new Map<string, number>();

  /** `nodeAddresses` are those of the node, as far as they are known: callers from there are never too many. */
  constructor(
    limits: Limits,
    nodeAddresses: readonly string[] = [],
    metrics: Metrics = NO_METRICS,
  ) {
    this.#limits = limits;
    this.#nodeAddresses = nodeAddresses;
    this.#closed = metrics.counter(
      'vouchsafe_connections_closed_total',
      'Connections to a port of ours that made room for newer ones, by reason: address (one caller had as many as it may have) or port (all together were as many as there may be).',
      ['reason'],
    );
  }

  /** Connections that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** Follows the connections that a server accepts from now on. */
  track(server: Server): void {
    // What is handed to a server without a network (a handshake with itself) takes nobody's place.
    server.on('connection', (socket) => {
      if (socket instanceof Socket && socket.remotePort !== undefined) this.#add(socket);
    });
  }

  /** Says that a request of a connection is being answered; the function that it returns ends that, once. */
  markBusy(socket: SocketEnds): () => void {
    const connection = this.#open.get(keyOf(socket));
    if (connection === undefined) return () => undefined;
    connection.requests += 1;
    this.#idle.delete(connection);
    this.#busy.add(connection);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      connection.requests -= 1;
      if (connection.requests > 0 || this.#open.get(connection.key) !== connection) return;
      this.#busy.delete(connection);
      this.#idle.add(connection);
    };
  }

  /** Ends every connection. */
  closeAll(): void {
    for (const { socket } of [...this.#open.values()]) socket.destroy();
  }

  #add(socket: Socket): void {
    const peer = peerOf(socket.remoteAddress);
    const ofPeer = this.#ofPeer.get(peer) ?? 0;
    const isCapped = !isExemptFromPeerLimit(peer, this.#nodeAddresses);
    if (isCapped && ofPeer >= this.#limits.maxPerPeer) {
      this.#closeOldest('address', (one) => one.peer === peer);
    } else if (this.#open.size >= this.#limits.maxConnections) {
      this.#closeOldest('port', () => true);
    }
    const connection = { key: keyOf(socket), socket, peer, requests: 0 };
    const former = this.#open.get(connection.key);
    if (former !== undefined) this.#remove(former); // its end has not been noticed yet
    this.#open.set(connection.key, connection);
    this.#idle.add(connection);
    this.#ofPeer.set(peer, (this.#ofPeer.get(peer) ?? 0) + 1);
    socket.once('close', () => this.#remove(connection));
  }

  /** Where none is idle the oldest goes all the same: whoever comes now must not wait for those who are here. */
  #closeOldest(reason: 'address' | 'port', isMeant: (connection: Connection) => boolean): void {
    const oldest = firstOf(this.#idle, isMeant) ?? firstOf(this.#busy, isMeant);
    if (oldest === undefined) return;
    this.#closed.add({ reason });
    this.#remove(oldest);
    oldest.socket.destroy();
  }

  #remove(connection: Connection): void {
    if (this.#open.get(connection.key) !== connection) return;
    this.#open.delete(connection.key);
    this.#idle.delete(connection);
    this.#busy.delete(connection);
    const rest = (this.#ofPeer.get(connection.peer) ?? 0) - 1;
    if (rest > 0) this.#ofPeer.set(connection.peer, rest);
    else this.#ofPeer.delete(connection.peer);
  }
}

function firstOf(
  connections: Iterable<Connection>,
  isMeant: (connection: Connection) => boolean,
): Connection | undefined {
  for (const connection of connections) if (isMeant(connection)) return connection;
  return undefined;
}

function keyOf({ remoteAddress = '', remotePort = 0 }: SocketEnds): string {
  return `${remoteAddress} ${remotePort}`;
}
