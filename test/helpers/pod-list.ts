/** The kubelet as SPIRE's attestor sees it: the list of its pods on its read-only port. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A pod, as far as somebody asks. */
export interface ListedPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
}

/** A running list. */
export interface PodList {
  /** Of 127.0.0.1. */
  readonly port: number;
  setPods(pods: readonly ListedPod[]): void;
  close(): Promise<void>;
}

/** Serves the pods of a node; none at first. */
export async function startPodList(nodeName: string): Promise<PodList> {
  let pods: readonly ListedPod[] = [];
  const server = createServer((request, response) => {
    if (request.url !== '/pods') {
      response.writeHead(404).end();
      return;
    }
    const items = pods.map(({ uid, namespace, name, serviceAccount }) => ({
      metadata: { uid, namespace, name },
      spec: { nodeName, serviceAccountName: serviceAccount },
      status: { phase: 'Pending' },
    }));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', items }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  return {
    port,
    setPods: (next) => void (pods = next),
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
