import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hasCode } from '../../../src/core/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import {
  cachedNamespaces,
  kubernetesNamespaces,
  type NamespaceReader,
} from '../../../src/kubernetes/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const SIGNAL = new AbortController().signal;

interface Fake {
  calls: number;
  isDown: boolean;
  readonly read: (name: string) => Promise<Record<string, string>>;
}

function fakeApi(): Fake {
  const fake: Fake = {
    calls: 0,
    isDown: false,
    read: (name) => {
      fake.calls += 1;
      if (fake.isDown) return Promise.reject(new Error('down'));
      return Promise.resolve({ name, call: String(fake.calls) });
    },
  };
  return fake;
}

test('an answer is fresh for half a minute', async () => {
  const [clock, api] = [new FakeClock(), fakeApi()];
  const namespaces = cachedNamespaces(api.read, clock);
  await namespaces('a', SIGNAL);
  await clock.advance(29_999);
  assert.equal((await namespaces('a', SIGNAL))['call'], '1');
  await clock.advance(1);
  assert.equal((await namespaces('a', SIGNAL))['call'], '2');
});

test('namespaces do not meet', async () => {
  const namespaces = cachedNamespaces(fakeApi().read, new FakeClock());
  assert.equal((await namespaces('a', SIGNAL))['name'], 'a');
  assert.equal((await namespaces('b', SIGNAL))['name'], 'b');
});

test('the last answer stands in for ten minutes, then the error is thrown', async () => {
  const [clock, api] = [new FakeClock(), fakeApi()];
  const namespaces = cachedNamespaces(api.read, clock);
  await namespaces('a', SIGNAL);
  api.isDown = true;
  await clock.advance(9 * 60_000);
  assert.equal((await namespaces('a', SIGNAL))['call'], '1');
  await clock.advance(60_000);
  await assert.rejects(namespaces('a', SIGNAL), /down/);
  await assert.rejects(namespaces('never-seen', SIGNAL), /down/);
});

test('however many namespaces are asked for, few are kept', async () => {
  const api = fakeApi();
  const namespaces = cachedNamespaces(api.read, new FakeClock());
  for (let index = 0; index <= 5000; index += 1) await namespaces(`n${index}`, SIGNAL);
  const before = api.calls;
  await namespaces('n5000', SIGNAL);
  assert.equal(api.calls, before);
  await namespaces('n0', SIGNAL);
  assert.equal(api.calls, before + 1);
});

/** A reader whose kubeconfig leads to an API server of the test. */
async function readerOf(t: TestContext, answer: RequestListener): Promise<NamespaceReader> {
  const ca = createTestCa();
  const { certPem, keyPem } = ca.issue();
  const server = createServer({ cert: certPem, key: keyPem }, answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const cluster = {
    server: `https://127.0.0.1:${port}`,
    'certificate-authority-data': Buffer.from(ca.caPem).toString('base64'),
  };
  const config = join(tempDirectory(t), 'kubeconfig.json');
  writeFileSync(
    config,
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: { token: 'hunter2' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  const before = process.env['KUBECONFIG'];
  process.env['KUBECONFIG'] = config;
  t.after(() => {
    if (before === undefined) delete process.env['KUBECONFIG'];
    else process.env['KUBECONFIG'] = before;
  });
  return kubernetesNamespaces();
}

test('annotations are read with the credentials at hand', async (t) => {
  const seen: unknown[] = [];
  const read = await readerOf(t, (request, response) => {
    seen.push([request.method, request.url, request.headers.authorization]);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ metadata: { annotations: { 'vouchsafe.dev/role': 'r' } } }));
  });
  assert.deepEqual(await read('shop', SIGNAL), { 'vouchsafe.dev/role': 'r' });
  assert.deepEqual(seen, [['GET', '/api/v1/namespaces/shop', 'Bearer hunter2']]);
});

test('a refusal names namespace and status, and no credential', async (t) => {
  const read = await readerOf(t, (_, response) => {
    response.statusCode = 403;
    response.end('hunter2');
  });
  await assert.rejects(read('shop', SIGNAL), (error: unknown) => {
    assert.ok(hasCode(error, 'ERR_KUBERNETES_API') && error instanceof Error);
    assert.equal(error.message, 'namespace "shop" cannot be read: HTTP 403');
    return true;
  });
});

test('an API server that does not answer is waited for no longer than the signal says', async (t) => {
  const stopping = new AbortController();
  const read = await readerOf(t, () => stopping.abort(new Error('enough')));
  await assert.rejects(read('shop', stopping.signal), /enough/);
});
