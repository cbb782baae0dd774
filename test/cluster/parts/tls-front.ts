/** The cluster's Vault behind a listener with TLS, whose authority a test chooses and may change. */
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';
import type { TestCa } from '../../../src/dev/ca/index.ts';
import { NODE_ADDRESS } from './network.ts';

/** A listener under way. */
export interface TlsFront extends AsyncDisposable {
  /** URL for pods. */
  readonly address: string;
  /** Has a certificate of another authority from now on; connections that are open end. */
  present(ca: TestCa): void;
}

/** Starts it before a server that has no TLS. The caller disposes of it. */
export async function startTlsFront(target: string, ca: TestCa): Promise<TlsFront> {
  const { hostname, port } = new URL(target);
  const open = new Set<TLSSocket>();
  const server = createServer(certificateOf(ca), (client) => {
    open.add(client);
    client.on('close', () => open.delete(client));
    const upstream = connect(Number(port), hostname);
    // There and back; either end that breaks takes the other along. The client stands in it twice, with the listeners of both places.
    client.setMaxListeners(20);
    pipeline(client, upstream, client, () => undefined);
  });
  // Clients that do not trust it.
  server.on('tlsClientError', () => undefined);
  const end = (): void => {
    for (const client of open) client.destroy();
  };
  server.listen(0, NODE_ADDRESS);
  await once(server, 'listening');
  const { port: own } = server.address() as AddressInfo; // a TCP server that listens has one
  return {
    address: `https://${NODE_ADDRESS}:${own}`,
    present(other) {
      server.setSecureContext(certificateOf(other));
      end();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      end();
      await once(server, 'close');
    },
  };
}

function certificateOf(ca: TestCa): { readonly cert: string; readonly key: string } {
  const { certPem, keyPem } = ca.issue({ ips: [NODE_ADDRESS] });
  return { cert: certPem, key: keyPem };
}
