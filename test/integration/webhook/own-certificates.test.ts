/** The webhook as a process, with an API server over HTTPS: from an empty cluster to an answered review. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, request, type RequestOptions } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { fieldsOf } from '../../../src/core/index.ts';
import { itemsOf, statusOf, type ApiRequest } from '../../../src/kubernetes/index.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { until } from '../../helpers/until.ts';
import { MUTATE, reviewBody } from '../../unit/webhook/harness.ts';

const CONFIGURATION =
  '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vouchsafe-webhook';
const EVENTS = '/apis/events.k8s.io/v1/namespaces/shop/events';

/** Serves the cluster; returns the path of a kubeconfig. */
async function serve(t: TestContext, cluster: MemoryKubernetes): Promise<string> {
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue();
  const { api } = cluster.connect();
  const ending = new AbortController();
  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? '/', 'https://cluster');
    const query = Object.fromEntries(url.searchParams);
    if (query['watch'] === 'true') {
      const events = await api.watch(url.pathname, query, ending.signal);
      response.writeHead(200).flushHeaders();
      for await (const event of events) response.write(`${JSON.stringify(event)}\n`);
      return;
    }
    const body = await text(incoming);
    const given = { method: incoming.method, path: url.pathname, query } as ApiRequest; // as the client writes them
    const sent = body === '' ? given : { ...given, body: JSON.parse(body) as unknown };
    response.end(JSON.stringify(await api.send(sent, ending.signal)));
  };
  const server = createServer({ cert: certPem, key: keyPem }, (incoming, response) => {
    answer(incoming, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(statusOf(error) ?? 500);
      response.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    ending.abort();
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const file = join(tempDirectory(t), 'kubeconfig.json');
  const certificate = Buffer.from(ca.caPem).toString('base64');
  const at = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': certificate };
  writeFileSync(
    file,
    JSON.stringify({
      clusters: [{ name: 'c', cluster: at }],
      users: [{ name: 'u', user: { token: 'hunter2' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  return file;
}

function bundleOf(cluster: MemoryKubernetes): string {
  const [webhook] = itemsOf(cluster.get(CONFIGURATION)?.['webhooks']);
  const { caBundle } = fieldsOf(fieldsOf(webhook)['clientConfig']);
  return typeof caBundle === 'string' ? Buffer.from(caBundle, 'base64').toString() : '';
}

async function post(options: RequestOptions, body: string): Promise<string> {
  const outgoing = request({ ...options, agent: false });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]; // as Node says
  return text(response);
}

test('first start: certificates are created, trusted and served, and the owner of the pod gets an Event', async (t) => {
  const cluster = new MemoryKubernetes();
  cluster.put(CONFIGURATION, { webhooks: [{ name: 'pods.vouchsafe.dev', clientConfig: {} }] });
  const role = { annotations: { 'vouchsafe.dev/role': 'of-the-namespace' } };
  cluster.put('/api/v1/namespaces/shop', { metadata: role });
  const env = {
    PATH: process.env['PATH'],
    KUBECONFIG: await serve(t, cluster),
    POD_NAME: 'webhook-1',
    POD_NAMESPACE: 'vouchsafe',
  };
  const flags = {
    service: 'vouchsafe-webhook',
    'tls-secret': 'vouchsafe-webhook-tls',
    lease: 'vouchsafe-webhook',
    'webhook-configuration': 'vouchsafe-webhook',
    listen: '127.0.0.1:0',
    'health-listen': '127.0.0.1:0',
  };
  const words = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const webhook = spawn(process.execPath, ['cmd/webhook/main.ts', ...words], { env });
  t.after(() => webhook.kill('SIGKILL'));
  const log = text(webhook.stderr);
  const [line] = (await once(createInterface(webhook.stdout), 'line')) as [string]; // as Node says
  const { listening } = JSON.parse(line) as {
    listening: { listen: string; healthListen: string };
  }; // as the webhook writes it
  await until(() => bundleOf(cluster) !== '');
  const ready = async (): Promise<number> =>
    (await fetch(`http://${listening.healthListen}/readyz`)).status;
  while ((await ready()) !== 200); // a probe asks again, too
  const servername = 'vouchsafe-webhook.vouchsafe.svc';
  const port = Number(listening.listen.split(':')[1]);
  const ca = bundleOf(cluster);
  const review = reviewBody().replace(
    '"kind":"ReplicaSet"',
    '"kind":"ReplicaSet","controller":true',
  );
  const answer = await post({ ...MUTATE, host: '127.0.0.1', port, servername, ca }, review);
  const { response } = JSON.parse(answer) as { response: { patch: string } }; // an injected pod has one
  assert.match(Buffer.from(response.patch, 'base64').toString(), /of-the-namespace/);
  await until(() => cluster.list(EVENTS).length === 1);
  assert.equal(cluster.list(EVENTS)[0]?.['reason'], 'Injected');
  webhook.kill('SIGTERM');
  assert.deepEqual(await once(webhook, 'exit'), [0, null]);
  assert.doesNotMatch(await log, /hunter2|PRIVATE|"level":"(warn|error)"/);
  const lease = cluster.get(
    '/apis/coordination.k8s.io/v1/namespaces/vouchsafe/leases/vouchsafe-webhook',
  );
  assert.equal(fieldsOf(lease?.['spec'])['holderIdentity'], '', 'given back');
});
