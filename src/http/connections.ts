/**
 * The connections of a listener. A new connection is always accepted; at the limit, the one that has been idle for
 * longest is closed.
 */
import { Socket, type Server } from 'node:net';
import { NO_METRICS, type Counter, type Metrics } from '../core/index.ts';
import { isExemptFromPeerLimit, peerOf } from './address.ts';
import type { Limits } from './limits.ts';

interface Connection {
  readonly key: string;
  readonly socket: Socket;
  readonly peer: string;
  /** Number of requests that are being answered. */
  requests: number;
}

/** Identifies a connection, both by its TCP socket and by the TLS socket on top of it. */
type SocketEnds = Pick<Socket, 'remoteAddress' | 'remotePort'>;

/**
 * Tracks the connections of servers. A connection is idle unless one of its requests is being answered: also during the
 * TLS handshake, while headers or a body arrive, between requests, and while an answer is being sent.
 */
export class Connections {
  readonly #limits: Limits;
  readonly #nodeAddresses: readonly string[];
  readonly #closed: Counter;
  readonly #open = new Map<string, Connection>();
  /** Idle for longest first. */
  readonly #idle = new Set<Connection>();
  /** Oldest first. */
  readonly #busy = new Set<Connection>();
  readonly #ofPeer = new Map<string, number>();

  /** `nodeAddresses` are the known addresses of the node, for which there is no limit per caller. */
  constructor(
    limits: Limits,
    nodeAddresses: readonly string[] = [],
    metrics: Metrics = NO_METRICS,
  ) {
    this.#limits = limits;
    this.#nodeAddresses = nodeAddresses;
    this.#closed = metrics.counter(
      'vouchsafe_connections_closed_total',
      'Connections closed to make room for new ones, by reason: address (limit of one caller) or port (limit of the listener).',
      ['reason'],
    );
  }

  /** Number of open connections. */
  get size(): number {
    return this.#open.size;
  }

  /** Tracks the connections that a server accepts from now on. */
  track(server: Server): void {
    // A socket without a network (a handshake of the server with itself) is not counted.
    server.on('connection', (socket) => {
      if (socket instanceof Socket && socket.remotePort !== undefined) this.#add(socket);
    });
  }

  /** Marks a connection as busy until the returned function is called; further calls of it have no effect. */
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
    if (former !== undefined) this.#remove(former); // its close event has not been processed yet
    this.#open.set(connection.key, connection);
    this.#idle.add(connection);
    this.#ofPeer.set(peer, (this.#ofPeer.get(peer) ?? 0) + 1);
    socket.once('close', () => this.#remove(connection));
  }

  /** Where none is idle the oldest busy one is closed, so that a new caller never has to wait. */
  #closeOldest(reason: 'address' | 'port', matches: (connection: Connection) => boolean): void {
    const oldest = firstOf(this.#idle, matches) ?? firstOf(this.#busy, matches);
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
  matches: (connection: Connection) => boolean,
): Connection | undefined {
  for (const connection of connections) if (matches(connection)) return connection;
  return undefined;
}

function keyOf({ remoteAddress = '', remotePort = 0 }: SocketEnds): string {
  return `${remoteAddress} ${remotePort}`;
}
