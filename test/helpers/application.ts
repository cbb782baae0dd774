/** The application's end of a notification over HTTP. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that behaves as it is set. */
export interface TestApplication extends AsyncDisposable {
  readonly url: string;
  /** Resolves at the first notification. */
  readonly called: Promise<unknown>;
}

/** Starts an application that treats notifications like this. */
export async function startApplication(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestApplication> {
  const server = createServer(answer);
  const called = once(server, 'request');
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  return {
    url: `http://127.0.0.1:${port}/reload`,
    called,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
