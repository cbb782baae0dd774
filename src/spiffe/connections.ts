/**
 * The connection that calls use. When its certificate has been replaced, a new one is opened and the old one is
 * drained.
 */
import type { PeerCertificate, SecureContext } from 'node:tls';
import type { Clock } from '../core/index.ts';
import {
  transition,
  UNUSED,
  type ConnectionEvent,
  type ConnectionState,
} from './connection-state.ts';

/** The error of {@link TlsSettings.checkServerIdentity}; gRPC would truncate the reason. */
export const SERVER_REJECTED = 'server rejected by its SPIFFE ID';

/** Settings of a TLS connection. */
export interface TlsSettings {
  readonly secureContext: SecureContext;
  /** {@link SERVER_REJECTED} unless the server's SPIFFE ID is allowed; the chain is verified before. */
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
  /** Why the last server was rejected. */
  serverProblem(): string | undefined;
  /** Expiry of the own certificate, epoch. */
  readonly expiresAtMs: number;
  /** Waits until a newer certificate has replaced the own one. Rejects with the reason of the abort. */
  replaced(signal: AbortSignal): Promise<void>;
}

/** How the two ends of a connection authenticate. */
export interface ChannelSecurity {
  readonly clock: Clock;
  /** The current settings; the same object until they change. */
  current(signal: AbortSignal): Promise<TlsSettings>;
}

/** The right to use a connection. */
export interface ConnectionHandle<C> {
  readonly connection: C;
  readonly settings: TlsSettings | undefined;
  /** Aborts when no call may continue on this connection. */
  readonly ended: AbortSignal;
  /** To be called once, at the end of the call. */
  release(): void;
}

interface Entry<C> {
  readonly settings: TlsSettings | undefined;
  readonly connection: Promise<C>;
  /** Aborts its calls, when it is `expired`. */
  readonly end: AbortController;
  /** Aborts the wait for a newer certificate, when it is `closed`. */
  readonly closed: AbortController;
  state: ConnectionState;
}

/** Connections of one client: the newest one, and older ones with calls in progress. */
export class Connections<C> {
  readonly #open: (settings: TlsSettings | undefined) => Promise<C>;
  readonly #close: (connection: C) => void;
  readonly #security: ChannelSecurity | undefined;
  readonly #entries = new Set<Entry<C>>();
  #newest: Entry<C> | undefined;
  #isClosed = false;

  constructor(
    open: (settings: TlsSettings | undefined) => Promise<C>,
    close: (connection: C) => void,
    security?: ChannelSecurity,
  ) {
    this.#open = open;
    this.#close = close;
    this.#security = security;
  }

  /** The newest connection, opened if necessary. Rejects with the errors of {@link ChannelSecurity.current}. */
  async acquire(signal: AbortSignal): Promise<ConnectionHandle<C>> {
    signal.throwIfAborted();
    const settings = await this.#security?.current(signal);
    if (this.#isClosed) throw new TypeError('the client is closed');
    const entry = this.#entryFor(settings);
    this.#apply('acquired', entry);
    const release = (): void => this.#apply('released', entry);
    try {
      const connection = await entry.connection;
      return { connection, settings, ended: entry.end.signal, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Closes all connections; the caller cancels calls in progress. */
  close(): void {
    this.#isClosed = true;
    for (const entry of this.#entries) this.#apply('client closed', entry);
  }

  #entryFor(settings: TlsSettings | undefined): Entry<C> {
    if (this.#newest !== undefined) {
      if (this.#newest.settings === settings) return this.#newest;
      this.#apply('replaced', this.#newest);
    }
    const entry: Entry<C> = {
      settings,
      connection: this.#open(settings),
      end: new AbortController(),
      closed: new AbortController(),
      state: UNUSED,
    };
    this.#entries.add(entry);
    this.#newest = entry;
    entry.connection.catch(() => this.#forget(entry)); // The next call opens another one.
    if (settings !== undefined) void this.#retireInTime(entry, settings); // ends with the connection
    return entry;
  }

  #forget(entry: Entry<C>): void {
    if (this.#newest === entry) this.#newest = undefined;
    this.#apply('replaced', entry);
  }

  /** Calls in progress continue; streams, which do not end by themselves, until the certificate expires. */
  async #retireInTime(entry: Entry<C>, settings: TlsSettings): Promise<void> {
    const { signal } = entry.closed;
    const clock = this.#security?.clock;
    try {
      await settings.replaced(signal);
      this.#forget(entry);
      await clock?.sleep(settings.expiresAtMs - clock.now(), signal);
      this.#apply('expired', entry);
    } catch {
      // Closed; or no newer certificate will come, and this connection is used for as long as the server allows.
    }
  }

  /** Changes the state, and executes what follows from the new one. */
  #apply(event: ConnectionEvent, entry: Entry<C>): void {
    const before = entry.state.name;
    entry.state = transition(entry.state, event);
    const { name } = entry.state;
    if (name === before) return;
    if (name === 'expired') entry.end.abort();
    if (name === 'closed') this.#end(entry);
  }

  #end(entry: Entry<C>): void {
    this.#entries.delete(entry);
    entry.closed.abort();
    entry.connection.then(
      (connection) => this.#close(connection),
      () => undefined, // acquire() has reported it
    );
  }
}
