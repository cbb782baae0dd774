/**
 * Mutual TLS with X.509-SVIDs for gRPC servers: a client without an allowed one is disconnected, as by SPIRE.
 */
import { once } from 'node:events';
import { isIP, type AddressInfo, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';

export interface TlsOptions {
  /** PEM; called at the start and for each {@link TlsListener.renewCertificate}. */
  readonly certificate: () => { readonly cert: string; readonly key: string };
  /** PEM of the authorities of clients' certificates. */
  readonly ca: string;
  /** Whether a client with a verified chain is allowed, by its leaf (DER). */
  readonly isAllowed: (certificate: Uint8Array) => boolean;
  /** Called for each allowed client. */
  readonly onClient?: ((socket: TLSSocket) => void) | undefined;
}

/** A listening TLS server. */
export interface TlsListener {
  /** 0 for a socket. */
  readonly port: number;
  renewCertificate(): void;
  /** Closes all connections. */
  close(): Promise<void>;
}

/** Listens on a socket's path or on `IP:port`, and passes on each connection of an allowed client. */
export async function listenTls(
  target: string,
  options: TlsOptions,
  onConnection: (socket: TLSSocket) => void,
): Promise<TlsListener> {
  const { ca, certificate, isAllowed } = options;
  const security = { ca, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] };
  const server = createServer({ ...security, ...certificate(), minVersion: 'TLSv1.2' });
  server.on('secureConnection', (socket) => {
    if (!isAllowed(socket.getPeerCertificate().raw)) {
      socket.destroy();
      return;
    }
    options.onClient?.(socket);
    onConnection(socket);
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(target) ?? [];
  const ip = host.replace(/^\[|\]$/g, '');
  if (isIP(ip) === 0) server.listen(target);
  else server.listen(Number(port), ip);
  await once(server, 'listening');
  const address = server.address() as AddressInfo | string; // set for a listening server
  return {
    port: typeof address === 'string' ? 0 : address.port,
    renewCertificate: () => server.setSecureContext({ ...security, ...certificate() }),
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
