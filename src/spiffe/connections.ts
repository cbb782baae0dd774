/**
 * The connection that calls use now. When what it was opened with has been replaced, a new one is opened and the
 * old one is drained.
 */
import type { PeerCertificate, SecureContext } from 'node:tls';
import type { Clock } from '../core/index.ts';

/** The error of {@link TlsSettings.checkServerIdentity}: the reason would not come whole through gRPC's own texts. */
export const SERVER_REJECTED = 'server refused by its SPIFFE ID';

/** With what a TLS connection is opened. */
export interface TlsSettings {
  readonly secureContext: SecureContext;
  /** {@link SERVER_REJECTED} unless the server's certificate is one to talk to; its chain was verified before. */
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
  /** Why the last server was refused. */
  serverProblem(): string | undefined;
  /** End of the own certificate, epoch. */
  readonly expiresAtMs: number;
  /** Waits until a newer certificate has taken the place of the own one. Rejects with the reason of the abort. */
  replaced(signal: AbortSignal): Promise<void>;
}

/** How the two ends of a connection prove who they are. */
export interface ChannelSecurity {
  readonly clock: Clock;
  /** For a connection opened now; the same object as before as long as nothing has changed. */
  current(signal: AbortSignal): Promise<TlsSettings>;
}

/** The right to use a connection. */
export interface ConnectionHandle<C> {
  readonly connection: C;
  readonly settings: TlsSettings | undefined;
  /** Aborts when no call may go on over this connection. */
  readonly ended: AbortSignal;
  /** To be called once, at the end of the call. */
  release(): void;
}

interface Entry<C> {
  readonly settings: TlsSettings | undefined;
  readonly connection: Promise<C>;
  /** Ends its calls. */
  readonly end: AbortController;
  /** Ends the wait for that. */
  readonly closed: AbortController;
  calls: number;
  isRetired: boolean;
}

/** Connections of one client: the newest one, and older ones that still carry calls. */
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

  /** The newest connection, opened if need be. Rejects with the errors of {@link ChannelSecurity.current}. */
  async acquire(signal: AbortSignal): Promise<ConnectionHandle<C>> {
    signal.throwIfAborted();
    const settings = await this.#security?.current(signal);
    if (this.#isClosed) throw new TypeError('the client is closed');
    const entry = this.#entryFor(settings);
    entry.calls += 1;
    const release = (): void => {
      entry.calls -= 1;
      if (entry.isRetired && entry.calls === 0) this.#end(entry);
    };
    try {
      const connection = await entry.connection;
      return { connection, settings, ended: entry.end.signal, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Closes all connections; calls under way are the caller's to cancel. */
  close(): void {
    this.#isClosed = true;
    for (const entry of this.#entries) this.#end(entry);
  }

  #entryFor(settings: TlsSettings | undefined): Entry<C> {
    if (this.#newest !== undefined) {
      if (this.#newest.settings === settings) return this.#newest;
      this.#retire(this.#newest);
    }
    const entry: Entry<C> = {
      settings,
      connection: this.#open(settings),
      end: new AbortController(),
      closed: new AbortController(),
      calls: 0,
      isRetired: false,
    };
    this.#entries.add(entry);
    this.#newest = entry;
    entry.connection.catch(() => this.#forget(entry)); // The next call opens another one.
    if (settings !== undefined) void this.#retireInTime(entry, settings); // ends with the connection
    return entry;
  }

  #forget(entry: Entry<C>): void {
    if (this.#newest === entry) this.#newest = undefined;
    this.#retire(entry);
  }

  /** No new calls go over it. */
  #retire(entry: Entry<C>): void {
    entry.isRetired = true;
    if (entry.calls === 0) this.#end(entry);
  }

  /** Calls under way go on; streams, which have no end of their own, until the certificate has one. */
  async #retireInTime(entry: Entry<C>, settings: TlsSettings): Promise<void> {
    const { signal } = entry.closed;
    const clock = this.#security?.clock;
    try {
      await settings.replaced(signal);
      this.#forget(entry);
      await clock?.sleep(settings.expiresAtMs - clock.now(), signal);
      entry.end.abort();
    } catch {
      // Closed before; or no newer certificate will come, and this one serves as long as the server lets it.
    }
  }

  #end(entry: Entry<C>): void {
    if (!this.#entries.delete(entry)) return;
    entry.closed.abort();
    entry.connection.then(
      (connection) => this.#close(connection),
      () => undefined, // those who wanted it were told
    );
  }
}
