import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { RequestListener, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hasCode } from '../../../src/core/index.ts';
import { createTestCa, type TestCa } from '../../../src/dev/ca/index.ts';
import {
  createKubernetesApi,
  inClusterAccess,
  kubeconfigAccess,
  loopbackAccess,
  statusOf,
  type KubernetesApi,
  type WatchEvent,
} from '../../../src/kubernetes/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const SIGNAL = new AbortController().signal;
const GET = { method: 'GET', path: '/api/v1/namespaces/shop' } as const;

interface Server {
  readonly ca: TestCa;
  readonly port: number;
  readonly seen: {
    method?: string;
    url?: string;
    authorization?: string;
    type?: string;
    body: string;
  }[];
}

async function serve(t: TestContext, answer: RequestListener): Promise<Server> {
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue();
  const seen: Server['seen'] = [];
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const { authorization = '', 'content-type': type = '' } = headers;
      seen.push({ method, url, authorization, type, body: Buffer.concat(chunks).toString() });
      answer(request, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { ca, port: (server.address() as AddressInfo).port, seen }; // a TCP server that listens has one
}

function apiOf({ ca, port }: Server, token = (): string => 'hunter2'): KubernetesApi {
  const read = (path: string): Promise<string> =>
    Promise.resolve(path.endsWith('/token') ? `${token()}\n` : ca.caPem);
  const clock = new FakeClock();
  return createKubernetesApi(
    inClusterAccess({ host: '127.0.0.1', port: String(port), read, clock }),
    clock,
  );
}

const json = (value: unknown): RequestListener => {
  return (_, response) => void response.end(JSON.stringify(value));
};

test('the service account of the pod authenticates', async (t) => {
  const server = await serve(t, json({ metadata: { name: 'shop' }, status: {} }));
  const object = await apiOf(server).send(GET, SIGNAL);
  assert.deepEqual(object, { metadata: { name: 'shop' }, status: {} });
  assert.equal(server.seen[0]?.authorization, 'Bearer hunter2');
});

test('a rotated token is used within a minute', async () => {
  const clock = new FakeClock();
  let round = 0;
  const read = (): Promise<string> => Promise.resolve(`token-${(round += 1)}`);
  const access = inClusterAccess({ host: '::1', port: '443', read, clock });
  assert.equal(access.origin, 'https://[::1]:443');
  const first = await access.options();
  await clock.advance(59_000);
  assert.deepEqual(await access.options(), first);
  await clock.advance(1000);
  assert.notDeepEqual(await access.options(), first);
});

test('patches have their media type, queries are escaped', async (t) => {
  const server = await serve(t, json({}));
  const api = apiOf(server);
  await api.send({ method: 'PATCH', path: '/a', body: [{ op: 'test' }] }, SIGNAL);
  await api.send({ method: 'PATCH', path: '/a', body: { data: null } }, SIGNAL);
  await api.send({ method: 'POST', path: '/a', body: {}, query: { x: 'a&b=ü' } }, SIGNAL);
  assert.deepEqual(
    server.seen.map(({ method, url, type, body }) => [method, url, type, body]),
    [
      ['PATCH', '/a', 'application/json-patch+json', '[{"op":"test"}]'],
      ['PATCH', '/a', 'application/merge-patch+json', '{"data":null}'],
      ['POST', '/a?x=a%26b%3D%C3%BC', 'application/json', '{}'],
    ],
  );
});

test('an error names request, status and reason, and nothing else', async (t) => {
  const server = await serve(t, (_, response) => {
    response.writeHead(403, { 'retry-after': '7' });
    response.end(JSON.stringify({ reason: 'Forbidden', message: 'hunter2' }));
  });
  await assert.rejects(apiOf(server).send(GET, SIGNAL), (error: unknown) => {
    assert.ok(hasCode(error, 'ERR_KUBERNETES_API') && error instanceof Error);
    assert.equal(error.message, 'GET /api/v1/namespaces/shop: HTTP 403 Forbidden');
    assert.equal(statusOf(error), 403);
    assert.equal('retryAfterMs' in error && error.retryAfterMs, 7000);
    return true;
  });
});

const BROKEN: Readonly<Record<string, (response: ServerResponse) => void>> = {
  'no JSON': (response) => void response.end('hunter2'),
  'a cut answer': (response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"metadata"', () => response.destroy());
  },
  'no answer at all': (response) => void response.destroy(),
};

for (const [name, answer] of Object.entries(BROKEN)) {
  test(`rejected: ${name}`, async (t) => {
    const server = await serve(t, (_, response) => answer(response));
    await assert.rejects(apiOf(server).send(GET, SIGNAL), (error: unknown) => {
      assert.ok(hasCode(error, 'ERR_KUBERNETES_API') && error instanceof Error);
      assert.equal(statusOf(error), undefined);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  });
}

test('an API server with a certificate of another CA is rejected', async (t) => {
  const server = await serve(t, json({}));
  await assert.rejects(apiOf({ ...server, ca: createTestCa() }).send(GET, SIGNAL), /no response/);
  assert.deepEqual(server.seen, []);
});

test('a service account that cannot be read is named', async () => {
  const read = (): Promise<string> => Promise.reject(new Error('ENOENT'));
  const access = inClusterAccess({ host: 'h', port: '1', read, clock: new FakeClock() });
  await assert.rejects(
    createKubernetesApi(access, new FakeClock()).send(GET, SIGNAL),
    /serviceaccount cannot be read/,
  );
});

test('a missing response is not waited for after the signal aborts', async (t) => {
  const stopping = new AbortController();
  const server = await serve(t, () => stopping.abort(new Error('enough')));
  await assert.rejects(apiOf(server).send(GET, stopping.signal), /enough/);
});

test('a watch yields whole events, however they are split, and ends with its signal', async (t) => {
  const server = await serve(t, (_, response) => {
    const line = JSON.stringify({ type: 'ADDED', object: { metadata: { name: 'ü' } } });
    const bytes = Buffer.from(`${line}\n{"type":"NEW"}\n{"type":"BOOKMARK","object":{}}\n`);
    const cut = bytes.indexOf(0xc3) + 1;
    response.write(bytes.subarray(0, cut), () => response.write(bytes.subarray(cut)));
  });
  const stopping = new AbortController();
  const events = await apiOf(server).watch('/api/v1/x', { resourceVersion: '7' }, stopping.signal);
  const seen: WatchEvent[] = [];
  await assert.rejects(async () => {
    for await (const event of events) {
      seen.push(event);
      if (seen.length === 2) stopping.abort(new Error('enough'));
    }
  }, /enough/);
  assert.deepEqual(seen, [
    { type: 'ADDED', object: { metadata: { name: 'ü' } } },
    { type: 'BOOKMARK', object: { metadata: {} } },
  ]);
  const query = 'resourceVersion=7&watch=true&allowWatchBookmarks=true&timeoutSeconds=240';
  assert.equal(server.seen[0]?.url, `/api/v1/x?${query}`);
});

test('a rejected watch is an error with its status', async (t) => {
  const server = await serve(t, (_, response) => void response.writeHead(410).end('{}'));
  await assert.rejects(
    apiOf(server).watch('/api/v1/x', {}, SIGNAL),
    (error: unknown) => statusOf(error) === 410,
  );
});

test('a kubeconfig authenticates as configured', async (t) => {
  const server = await serve(t, json({ metadata: { name: 'shop' } }));
  const cluster = {
    server: `https://127.0.0.1:${server.port}`,
    'certificate-authority-data': Buffer.from(server.ca.caPem).toString('base64'),
  };
  const file = join(tempDirectory(t), 'kubeconfig.json');
  writeFileSync(
    file,
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: { token: 'hunter3' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  const before = process.env['KUBECONFIG'];
  process.env['KUBECONFIG'] = file;
  t.after(() => {
    if (before === undefined) delete process.env['KUBECONFIG'];
    else process.env['KUBECONFIG'] = before;
  });
  const api = createKubernetesApi(await kubeconfigAccess(), new FakeClock());
  assert.deepEqual((await api.send(GET, SIGNAL)).metadata, { name: 'shop' });
  assert.equal(server.seen[0]?.authorization, 'Bearer hunter3');
});

test('an API server without authentication must be on loopback', async () => {
  for (const address of ['http://127.0.0.1:8001', 'http://[::1]:8001/']) {
    const access = loopbackAccess(address);
    assert.equal(access.origin, address.replace(/\/$/, ''));
    assert.deepEqual(await access.options(), {});
  }
  for (const address of [
    ...['http://10.96.0.1:443', 'https://127.0.0.1:6443', 'http://localhost:8001', ''],
    ...['http://127.0.0.1:8001/api', 'http://127.0.0.1.example.org:80', 'http://127.0.0.1'],
  ]) {
    assert.throws(() => loopbackAccess(address), { code: 'ERR_USAGE', message: /kubectl proxy/ });
  }
});
