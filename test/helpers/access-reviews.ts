/**
 * The API server as SPIRE's attestor sees it: who may impersonate which pod. It has what client-go looks up before it
 * creates a SubjectAccessReview.
 */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

const GROUP = 'authorization.k8s.io';
const VERSION = { groupVersion: `${GROUP}/v1`, version: 'v1' };

const DISCOVERY: ReadonlyMap<string, object> = new Map([
  ['/api', { kind: 'APIVersions', versions: ['v1'] }],
  [
    '/apis',
    {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: [{ name: GROUP, versions: [VERSION], preferredVersion: VERSION }],
    },
  ],
  [
    `/apis/${GROUP}/v1`,
    {
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion: VERSION.groupVersion,
      resources: [
        {
          name: 'subjectaccessreviews',
          singularName: 'subjectaccessreview',
          namespaced: false,
          kind: 'SubjectAccessReview',
          verbs: ['create'],
        },
      ],
    },
  ],
]);

/** A running authorizer. */
export interface AccessReviews extends AsyncDisposable {
  /** For the environment of the agent. */
  readonly kubeconfig: string;
  /** Reviews answered so far. */
  readonly count: number;
  /** Denies everyone the pods of these names. */
  deny(...podNames: readonly string[]): void;
}

/** Starts an authorizer that allows everything at first. */
export async function startAccessReviews(): Promise<AccessReviews> {
  let denied: readonly string[] = [];
  let count = 0;
  const server = createServer((request, response) => {
    const { url = '', method } = request;
    const found = DISCOVERY.get(url.split('?')[0] ?? '');
    if (found !== undefined) {
      sendJson(response, 200, found);
    } else if (method === 'POST' && url.startsWith(`/apis/${GROUP}/v1/subjectaccessreviews`)) {
      void buffer(request).then((review) => {
        count += 1;
        // The review is a protocol buffer; names are in it as they are.
        const allowed = !denied.some((name) => review.includes(name));
        const kind = { kind: 'SubjectAccessReview', apiVersion: VERSION.groupVersion };
        sendJson(response, 201, { ...kind, spec: {}, status: { allowed } });
      });
    } else {
      sendJson(response, 404, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404 });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  return {
    kubeconfig: kubeconfigOf(`http://127.0.0.1:${port}`),
    get count() {
      return count;
    },
    deny(...podNames) {
      denied = podNames;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function kubeconfigOf(server: string): string {
  const name = 'test';
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server } }],
    users: [{ name, user: {} }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  });
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
