/**
 * An API server for the driver of the demo: one pod, and no defaults on namespaces.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A pod as the API server knows it. */
export interface KnownPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount: string;
  readonly nodeName: string;
}

/** A running API server. */
export interface LocalCluster extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly address: string;
}

/** Serves one pod, without authentication. */
export async function startLocalCluster(pod: KnownPod): Promise<LocalCluster> {
  const { namespace, name, uid, serviceAccount, nodeName } = pod;
  const objects = new Map<string, object>([
    [
      `/api/v1/namespaces/${namespace}/pods/${name}`,
      {
        metadata: { namespace, name, uid },
        spec: { nodeName, serviceAccountName: serviceAccount },
      },
    ],
    [`/api/v1/namespaces/${namespace}`, { metadata: { name: namespace } }],
    ['/api/v1/namespaces', { metadata: { resourceVersion: '1' }, items: [] }],
  ]);
  const server = createServer((request, response) => answer(objects, request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // set for a listening TCP server
  return {
    address: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer(
  objects: ReadonlyMap<string, object>,
  { url = '' }: IncomingMessage,
  response: ServerResponse,
): void {
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  const object = objects.get(pathname);
  response.setHeader('content-type', 'application/json');
  if (object === undefined) response.writeHead(404).end('{"reason":"NotFound"}');
  else if (searchParams.has('watch'))
    response.flushHeaders(); // and nothing ever happens
  else response.end(JSON.stringify(object));
}
