/**
 * The TLS listener: HTTP/2 and HTTP/1.1, as negotiated with the caller.
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

export interface SecureOptions {
  readonly handler: Handler;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Counts closed connections. Default: not counted. */
  readonly metrics?: Metrics;
  /** Whether the listener is shutting down: then each answer closes its connection. */
  readonly isEnding: () => boolean;
  /** CA of client certificates, PEM. Default: no client certificate is requested. */
  readonly clientCa?: string | undefined;
}

/** Serves requests over TLS. */
export class SecureListener {
  readonly #server: Http2SecureServer;
  readonly #connections: Connections;
  readonly #options: SecureOptions;

  /** Opens no port yet. Throws VouchsafeError `ERR_SERVER_CERTIFICATE` where the client CA is invalid. */
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
      // The handshake succeeds without a certificate: probes need none, and other routes answer 401.
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

  /** Serves new connections with this certificate (PEM); open ones stay as they are. */
  setCertificate(certificatePem: string, keyPem: string): void {
    const { clientCa } = this.#options;
    this.#server.setSecureContext({
      cert: certificatePem,
      key: keyPem,
      minVersion: 'TLSv1.2',
      // A resumed session presents no certificate.
      ...(clientCa !== undefined && { ca: clientCa, secureOptions: constants.SSL_OP_NO_TICKET }),
    });
  }

  /**
   * Listens on `host:port`; resolves to the bound address.
   *
   * @throws VouchsafeError `ERR_SERVER_LISTEN`
   */
  listen(address: string): Promise<Address> {
    return listen(this.#server, address, this.#options.logger);
  }

  /**
   * Whether a client that trusts only `ca` (PEM) could connect by this name. The handshake runs within the process, so
   * that it works even when all connections are taken.
   */
  async canShakeHands(ca: string, serverName: string | undefined): Promise<boolean> {
    const { clock } = this.#options;
    const [here, there] = duplexPair();
    this.#server.emit('connection', there);
    const socket = connect({
      socket: here,
      // With an empty text TLS would use the CAs of the system instead of none.
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

  /** Stops accepting; resolves when the requests under way have been answered. */
  async drain(): Promise<void> {
    const closed = Promise.withResolvers<undefined>();
    this.#server.close(() => closed.resolve(undefined));
    await closed.promise;
  }

  /** Closes all connections at once. */
  close(): void {
    this.#server.close();
    this.#connections.closeAll();
  }
}

function checkCa(pem: string): void {
  try {
    new X509Certificate(pem);
  } catch (cause) {
    throw new VouchsafeError('ERR_SERVER_CERTIFICATE', 'the client CA is not a valid certificate', {
      cause,
    });
  }
}
