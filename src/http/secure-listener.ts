/**
 * The listener of TLS: HTTP/2 and HTTP/1.1, whichever the caller offers.
 */
import { once } from 'node:events';
import { constants, X509Certificate } from 'node:crypto';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import { duplexPair } from 'node:stream';
import { connect } from 'node:tls';
import { VouchsafeError, type Clock, type Logger, type Metrics } from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import type { Address } from './address.ts';
import { BodyBudget } from './body-budget.ts';
import { Connections } from './connections.ts';
import {
  HEADERS_MS,
  MAX_BODIES_BYTES,
  MAX_HEADER_BYTES,
  MAX_STREAMS,
  REQUEST_BYTES,
  REVIEW_LIMITS,
} from './limits.ts';
import { HTTP1_OPTIONS, listen } from './listener.ts';
import { createRequestListener, type Handler } from './respond.ts';

const HANDSHAKE_TIMEOUT_MS = 2000;

/** What a {@link SecureListener} needs. */
export interface SecureOptions {
  readonly handler: Handler;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where it is counted what had to make room. Default: nowhere. */
  readonly metrics?: Metrics;
  /** Whether each answer is to end its connection. */
  readonly isEnding: () => boolean;
  /** Callers are asked for a certificate of this CA (PEM); without it nobody is. */
  readonly clientCa?: string | undefined;
}

/** Serves requests over TLS. */
export class SecureListener {
  readonly #server: Http2SecureServer;
  readonly #connections: Connections;
  readonly #options: SecureOptions;

  /** Opens nothing yet. Throws VouchsafeError `ERR_SERVER_CERTIFICATE` where the client CA cannot be used. */
  constructor(options: SecureOptions) {
    this.#options = options;
    this.#connections = new Connections(REVIEW_LIMITS, [], options.metrics);
    const { clientCa } = options;
    if (clientCa !== undefined) checkCa(clientCa);
    this.#server = createSecureServer({
      allowHTTP1: true,
      handshakeTimeout: HEADERS_MS,
      http1Options: { ...HTTP1_OPTIONS, keepAliveTimeout: REVIEW_LIMITS.keepAliveMs },
      settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: MAX_HEADER_BYTES },
      maxHeaderListPairs: 64,
      // Who has no certificate is told so by an answer: a probe needs none.
      ...(clientCa !== undefined && { requestCert: true, rejectUnauthorized: false }),
    });
    this.#server.setTimeout(REVIEW_LIMITS.keepAliveMs);
    const budget = new BodyBudget(MAX_BODIES_BYTES, REQUEST_BYTES);
    this.#server.on(
      'request',
      createRequestListener({ ...options, connections: this.#connections, budget }),
    );
    this.#connections.track(this.#server);
  }

  /** Serves with this certificate from now on; connections that are open go on with the old one. */
  setCertificate(certificatePem: string, keyPem: string): void {
    const { clientCa } = this.#options;
    this.#server.setSecureContext({
      cert: certificatePem,
      key: keyPem,
      minVersion: 'TLSv1.2',
      // A session that is resumed shows no certificate.
      ...(clientCa !== undefined && { ca: clientCa, secureOptions: constants.SSL_OP_NO_TICKET }),
    });
  }

  /**
   * Listens on `host:port`; resolves to the address bound.
   *
   * @throws VouchsafeError `ERR_SERVER_LISTEN`
   */
  listen(address: string): Promise<Address> {
    return listen(this.#server, address, this.#options.logger);
  }

  /**
   * Whether somebody who trusts `ca` (PEM) and nothing else could call by this name. It is tried within the process:
   * no connection is needed that callers might have taken.
   */
  async canShakeHands(ca: string, serverName: string | undefined): Promise<boolean> {
    const { clock } = this.#options;
    const [here, there] = duplexPair();
    this.#server.emit('connection', there);
    const socket = connect({
      socket: here,
      // An empty text is no trust at all, while TLS would take it for the trust of the system.
      ca: ca === '' ? [] : ca,
      ...(serverName !== undefined && { servername: serverName }),
    });
    try {
      await withDeadline({ clock, ms: HANDSHAKE_TIMEOUT_MS }, (signal) =>
        once(socket, 'secureConnect', { signal }),
      );
      return socket.authorized;
    } catch {
      return false;
    } finally {
      socket.destroy();
      here.destroy();
      there.destroy();
    }
  }

  /** Accepts nothing more; resolves when what is under way has been answered. */
  async drain(): Promise<void> {
    const closed = Promise.withResolvers<undefined>();
    this.#server.close(() => closed.resolve(undefined));
    await closed.promise;
  }

  /** Ends at once. */
  close(): void {
    this.#server.close();
    this.#connections.closeAll();
  }
}

function checkCa(pem: string): void {
  try {
    new X509Certificate(pem);
  } catch (cause) {
    throw new VouchsafeError('ERR_SERVER_CERTIFICATE', 'the client CA is not a certificate', {
      cause,
    });
  }
}
