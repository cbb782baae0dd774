import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { connect } from 'node:tls';
import { test } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { VouchsafeError } from '../../../src/core/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { until } from '../../helpers/until.ts';
import { MUTATE, reviewBody, startWebhook } from './harness.ts';

interface Response {
  readonly allowed: boolean;
  readonly patch?: string;
  readonly status?: { readonly code: number; readonly message: string };
}

function responseOf(body: string): Response {
  const { response } = JSON.parse(body) as { response: Response }; // the webhook's own answer
  return response;
}

test('a review over TLS is answered with a patch', async (t) => {
  const webhook = await startWebhook(t);
  const { status, headers, body } = await webhook.send(MUTATE, reviewBody());
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(responseOf(body).allowed, true);
  assert.ok(responseOf(body).patch !== undefined);
});

test('one log line per decision, without anything of the object', async (t) => {
  const webhook = await startWebhook(t);
  await webhook.send(MUTATE, reviewBody({ 'vouchsafe.dev/template-app': 'password=hunter2' }));
  const line = webhook.logger.lines.find(({ message }) => message === 'admission review');
  const { bytes, duration_ms: duration, ...fields } = line?.fields ?? {};
  assert.deepEqual(fields, {
    uid: 'u-1',
    namespace: 'shop',
    kind: 'Pod',
    name: 'web-',
    owner: 'ReplicaSet/web-1',
    outcome: 'injected',
    reason: 'requested',
  });
  assert.ok(typeof bytes === 'number' && bytes > 100 && typeof duration === 'number');
  assert.doesNotMatch(webhook.logger.text(), /hunter2/);
});

test('settings of the namespace take effect', async (t) => {
  const asked: string[] = [];
  const webhook = await startWebhook(t, {
    namespaces: (name) => {
      asked.push(name);
      return Promise.resolve({ 'vouchsafe.dev/role': 'of-the-namespace' });
    },
  });
  const { body } = await webhook.send(MUTATE, reviewBody());
  const patch = Buffer.from(responseOf(body).patch ?? '', 'base64').toString();
  assert.match(patch, /of-the-namespace/);
  assert.deepEqual(asked, ['shop']);
});

test('a namespace that cannot be read denies the pod for now, with the reason', async (t) => {
  const webhook = await startWebhook(t, {
    namespaces: () => Promise.reject(new VouchsafeError('ERR_KUBERNETES_API', 'HTTP 403')),
  });
  const { status, body } = await webhook.send(MUTATE, reviewBody());
  assert.equal(status, 200);
  assert.equal(responseOf(body).allowed, false);
  assert.equal(responseOf(body).status?.code, 503);
  assert.match(body, /namespace shop cannot be read now/);
  assert.match(webhook.logger.text(), /ERR_KUBERNETES_API/);
});

test('a pod that is never injected needs no namespace', async (t) => {
  const webhook = await startWebhook(t, { namespaces: () => Promise.reject(new Error('down')) });
  const { body } = await webhook.send(MUTATE, reviewBody({ 'vouchsafe.dev/inject': 'false' }));
  assert.equal(responseOf(body).allowed, true);
});

const REFUSED: Readonly<Record<string, readonly [object, string, number]>> = {
  'another media type': [{ headers: { 'content-type': 'text/plain' } }, reviewBody(), 415],
  'no media type': [{ headers: {} }, reviewBody(), 415],
  'no JSON': [{}, 'pod: yes', 400],
  'nothing at all': [{}, '', 400],
  'another document': [{}, '{"kind":"Pod"}', 400],
  'a body over the limit': [{}, `"${'x'.repeat(70_000)}"`, 413],
  'a length over the limit': [
    { headers: { 'content-type': 'application/json', 'content-length': '70000' } },
    `"${'x'.repeat(69_998)}"`,
    413,
  ],
  'another method': [{ method: 'GET' }, '', 405],
  'another path': [{ path: '/validate' }, '', 404],
  'a path out of a prototype': [{ path: '/__proto__', method: 'GET' }, '', 404],
};

for (const [name, [options, body, status]] of Object.entries(REFUSED)) {
  test(`rejected: ${name}; the next review is answered`, async (t) => {
    const installation = parseInstallation({ webhook: { maxBodyBytes: 65_536 } });
    const webhook = await startWebhook(t, { installation });
    const reply = await webhook.send({ ...MUTATE, ...options }, body);
    assert.equal(reply.status, status);
    assert.equal((await webhook.send(MUTATE, reviewBody())).status, 200);
  });
}

test('a malformed review names the rule in JSON', async (t) => {
  const webhook = await startWebhook(t);
  const { body } = await webhook.send(MUTATE, '{}');
  assert.deepEqual(JSON.parse(body), {
    code: 'ERR_ADMISSION_MALFORMED',
    message: 'not an AdmissionReview: its kind is not AdmissionReview',
  });
});

test('an internal error is a 500 without details, and counted', async (t) => {
  const webhook = await startWebhook(t, {
    namespaces: () => Promise.resolve({}),
    checkTemplate: () => {
      throw new Error('hunter2');
    },
  });
  const reply = await webhook.send(MUTATE, reviewBody({ 'vouchsafe.dev/template-app': 'x' }));
  assert.equal(reply.status, 500);
  assert.doesNotMatch(reply.body, /hunter2/);
  const metrics = await (await fetch(`${webhook.healthUrl}/metrics`)).text();
  assert.match(
    metrics,
    /vouchsafe_admission_total{namespace="shop",outcome="failed",reason="ERR_BUG"} 1/,
  );
});

test('probes and metrics are on their own port, without TLS', async (t) => {
  const webhook = await startWebhook(t);
  await webhook.send(MUTATE, reviewBody());
  assert.equal((await fetch(`${webhook.healthUrl}/healthz`)).status, 200);
  assert.equal((await fetch(`${webhook.healthUrl}/readyz`)).status, 200);
  assert.equal((await fetch(`${webhook.healthUrl}/mutate`, { method: 'POST' })).status, 404);
  const metrics = await (await fetch(`${webhook.healthUrl}/metrics`)).text();
  assert.match(
    metrics,
    /vouchsafe_admission_total{namespace="shop",outcome="injected",reason="requested"} 1/,
  );
  assert.match(metrics, /vouchsafe_admission_duration_seconds_count{outcome="injected"} 1/);
  assert.match(metrics, /vouchsafe_certificate_expiry_timestamp_seconds \d+/);
  assert.match(metrics, /# TYPE vouchsafe_connections_closed_total counter/);
  assert.equal((await webhook.send({ path: '/readyz' })).status, 200);
});

test('old versions of TLS and plain HTTP are rejected', async (t) => {
  const webhook = await startWebhook(t);
  const { ca, port } = { ca: webhook.files.ca.caPem, port: webhook.port };
  const old = connect({ port, host: 'localhost', ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' });
  await assert.rejects(once(old, 'secureConnect'));
  const plain = connectTcp({ port, host: '127.0.0.1' });
  plain.write('GET / HTTP/1.1\r\n\r\n');
  await once(plain, 'close');
  assert.equal((await webhook.send(MUTATE, reviewBody())).status, 200);
});

test('a new certificate is served without closing a connection', async (t) => {
  const webhook = await startWebhook(t);
  const { ca, change, source } = webhook.files;
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  await webhook.send({ ...MUTATE, agent }, reviewBody());
  const before = source.current?.certificatePem;
  const { certPem, keyPem } = ca.issue();
  change({ cert: certPem, key: keyPem });
  await until(() => source.current?.certificatePem !== before);
  const socket = connect({ port: webhook.port, host: 'localhost', ca: ca.caPem });
  await once(socket, 'secureConnect');
  const pem = socket.getPeerX509Certificate()?.toString() ?? '';
  socket.destroy();
  assert.equal(pem.replaceAll(/\s/g, ''), certPem.replaceAll(/\s/g, ''));
  assert.equal((await webhook.send({ ...MUTATE, agent }, reviewBody())).status, 200);
});

test('not ready where the CA bundle does not trust the certificate', async (t) => {
  const webhook = await startWebhook(t);
  const { change, source } = webhook.files;
  const other = createTestCa().caPem;
  change({ ca: other });
  await until(() => source.current?.caPem === other);
  const reply = await fetch(`${webhook.healthUrl}/readyz`);
  assert.equal(reply.status, 503);
  assert.match(await reply.text(), /not trusted by the CA bundle/);
  assert.equal((await fetch(`${webhook.healthUrl}/healthz`)).status, 200);
});

test('not ready with a certificate that has expired', async (t) => {
  let aheadMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
  const webhook = await startWebhook(t, { clock });
  aheadMs = 2 * 3_600_000;
  const reply = await fetch(`${webhook.healthUrl}/readyz`);
  assert.match(await reply.text(), /has expired/);
});

test('at shutdown readiness fails first, reviews under way are answered, then nothing is left', async (t) => {
  const lookup = Promise.withResolvers<Record<string, string>>();
  const lingering = Promise.withResolvers<undefined>();
  const lingerMs = 4321;
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal: AbortSignal) =>
      ms === lingerMs ? lingering.promise : systemClock.sleep(ms, signal),
  };
  const drains = { lingerMs, drainMs: 10_000 };
  const webhook = await startWebhook(t, { clock, ...drains, namespaces: () => lookup.promise });
  const agent = new Agent({ keepAlive: true });
  const underWay = webhook.send({ ...MUTATE, agent }, reviewBody());
  await until(() => Object.keys(agent.sockets).length > 0);
  const stopped = webhook.stop();
  const probe = await fetch(`${webhook.healthUrl}/readyz`);
  assert.equal(probe.status, 503);
  assert.equal((await webhook.send({ path: '/healthz' })).status, 200, 'it still answers');
  lingering.resolve(undefined);
  lookup.resolve({});
  const reply = await underWay;
  assert.equal(reply.status, 200);
  assert.equal(reply.headers['connection'], 'close');
  await stopped;
  agent.destroy();
  await assert.rejects(webhook.send(MUTATE, reviewBody()), { code: 'ECONNREFUSED' });
  await assert.rejects(fetch(`${webhook.healthUrl}/healthz`));
});

test('a review that never ends does not keep the process alive', async (t) => {
  const webhook = await startWebhook(t, { namespaces: () => new Promise(() => undefined) });
  const underWay = webhook.send(MUTATE, reviewBody());
  await until(() => webhook.logger.lines.length > 0);
  await Promise.all([assert.rejects(underWay), webhook.stop()]);
});

test('a port that is taken is ERR_SERVER_LISTEN', async (t) => {
  const webhook = await startWebhook(t);
  await assert.rejects(
    startWebhook(t, { listen: `127.0.0.1:${webhook.port}` }),
    (error) => error instanceof VouchsafeError && error.code === 'ERR_SERVER_LISTEN',
  );
});
