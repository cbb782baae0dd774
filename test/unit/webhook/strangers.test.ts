/** What any caller on the network can do to the webhook's listeners, and how that affects the API server. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { BODY_MS } from '../../../src/http/limits.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { liveBytes } from '../../helpers/live-heap.ts';
import { Crowd } from '../../helpers/crowd.ts';
import { until } from '../../helpers/until.ts';
import { MUTATE, reviewBody, startWebhook, type RunningWebhook } from './harness.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const BODY_BYTES = 3 * 1024 * 1024;

async function assertServing(webhook: RunningWebhook): Promise<void> {
  for (let count = 0; count < 10; count += 1) {
    assert.equal((await webhook.send(MUTATE, reviewBody())).status, 200);
    assert.equal((await fetch(`${webhook.healthUrl}/healthz`)).status, 200);
    assert.equal((await fetch(`${webhook.healthUrl}/readyz`)).status, 200);
  }
}

function http2(t: TestContext, webhook: RunningWebhook, tls: object = {}): ClientHttp2Session {
  const session = connectHttp2(`https://localhost:${webhook.port}`, {
    ca: webhook.files.ca.caPem,
    ...tls,
  });
  session.on('error', () => undefined);
  t.after(() => session.destroy());
  return session;
}

async function review(session: ClientHttp2Session, path = '/mutate'): Promise<number> {
  const stream = session.request({ ':method': 'POST', ':path': path, ...JSON_TYPE });
  stream.end(reviewBody());
  const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
  await text(stream);
  return headers[':status'] ?? 0;
}

test('idle TCP and TLS connections block neither reviews nor probes', async (t) => {
  const webhook = await startWebhook(t);
  const healthPort = Number(new URL(webhook.healthUrl).port);
  using tcp = await Crowd.gather({ port: webhook.port, size: 520 });
  using tls = await Crowd.gather({ port: webhook.port, size: 520, isTls: true });
  using probes = await Crowd.gather({ port: healthPort, size: 520 });
  await assertServing(webhook);
  assert.ok(tcp.closed + tls.closed >= 520 && probes.closed > 0);
});

test('nor do callers that reconnect as fast as they are closed', async (t) => {
  const webhook = await startWebhook(t);
  const healthPort = Number(new URL(webhook.healthUrl).port);
  using tcp = await Crowd.gather({ port: webhook.port, size: 600, reopenings: 50_000 });
  using probes = await Crowd.gather({ port: healthPort, size: 300, reopenings: 50_000 });
  await assertServing(webhook);
  assert.ok(tcp.reopeningsLeft > 0 && probes.reopeningsLeft > 0);
});

test('ready while every connection is taken: the readiness check needs none', async (t) => {
  const webhook = await startWebhook(t);
  using crowd = await Crowd.gather({ port: webhook.port, size: 512 });
  for (let count = 0; count < 20; count += 1) {
    assert.equal((await fetch(`${webhook.healthUrl}/readyz`)).status, 200);
  }
  assert.equal(crowd.closed, 0);
});

test('200 concurrent reviews from one address, each on its own connection', async (t) => {
  const lookups = Promise.withResolvers<Record<string, string>>();
  let waiting = 0;
  const webhook = await startWebhook(t, {
    namespaces: () => {
      waiting += 1;
      if (waiting === 200) lookups.resolve({});
      return lookups.promise;
    },
  });
  const sent = Array.from({ length: 200 }, () => webhook.send(MUTATE, reviewBody()));
  const statuses = (await Promise.all(sent)).map(({ status }) => status);
  assert.deepEqual(new Set(statuses), new Set([200]));
});

test('200 concurrent reviews on one HTTP/2 connection', async (t) => {
  const webhook = await startWebhook(t);
  const session = http2(t, webhook);
  await once(session, 'connect');
  assert.equal(session.alpnProtocol, 'h2');
  const statuses = await Promise.all(Array.from({ length: 200 }, () => review(session)));
  assert.deepEqual(new Set(statuses), new Set([200]));
  assert.equal(await review(session, '/elsewhere'), 404);
  assert.equal(await review(session), 200, 'other streams go on');
});

test('HTTP/2: shutdown is announced, and requests under way are answered', async (t) => {
  const lookup = Promise.withResolvers<Record<string, string>>();
  let isWaiting = false;
  const webhook = await startWebhook(t, {
    drainMs: 10_000,
    namespaces: () => {
      isWaiting = true;
      return lookup.promise;
    },
  });
  const session = http2(t, webhook);
  const answer = review(session);
  await until(() => isWaiting);
  const goaway = once(session, 'goaway');
  const stopped = webhook.stop();
  await goaway;
  lookup.resolve({});
  assert.equal(await answer, 200);
  await stopped;
});

test('HTTP/2: new connections get a new certificate, and old ones stay open', async (t) => {
  const webhook = await startWebhook(t);
  const { ca, change, source } = webhook.files;
  const session = http2(t, webhook);
  assert.equal(await review(session), 200);
  const before = source.current?.certificatePem;
  const { certPem, keyPem } = ca.issue();
  change({ cert: certPem, key: keyPem });
  await until(() => source.current?.certificatePem !== before);
  assert.equal(await review(session), 200);
  assert.equal(await review(http2(t, webhook)), 200);
});

test('HTTP/2: a caller that keeps resetting streams is disconnected, and others are not affected', async (t) => {
  const webhook = await startWebhook(t);
  const [stranger, server] = [http2(t, webhook), http2(t, webhook)];
  await Promise.all([once(stranger, 'connect'), once(server, 'connect')]);
  for (let count = 0; count < 20_000 && !stranger.closed; count += 1) {
    const stream = stranger.request({ ':method': 'POST', ':path': '/mutate', ...JSON_TYPE });
    stream.on('error', () => undefined);
    stream.close(constants.NGHTTP2_CANCEL);
    if (count % 100 === 0) assert.equal(await review(server), 200);
  }
  assert.ok(stranger.closed || stranger.destroyed);
  assert.equal(await review(server), 200);
});

/** A body of which the last byte never comes. */
function unfinished(): string {
  const length = BODY_BYTES - 1;
  const headers = `host: a\r\ncontent-type: application/json\r\ncontent-length: ${length}`;
  return `POST /mutate HTTP/1.1\r\n${headers}\r\n\r\n${' '.repeat(length - 1)}`;
}

test('unfinished bodies of 3 MiB are evicted for reviews, and cause no log line', async (t) => {
  const webhook = await startWebhook(t);
  using crowd = await Crowd.gather({
    port: webhook.port,
    size: 40,
    isTls: true,
    says: unfinished(),
  });
  await until(() => crowd.closed >= 40 - 6);
  await assertServing(webhook);
  const lines = webhook.logger.lines.filter(({ level }) => level !== 'info');
  assert.deepEqual(lines, []);
});

test('a body in the smallest pieces costs no more than its length', async (t) => {
  const webhook = await startWebhook(t);
  const socket = connect({ port: webhook.port, host: 'localhost', ca: webhook.files.ca.caPem });
  t.after(() => socket.destroy());
  const head = 'POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n';
  socket.write(`${head}transfer-encoding: chunked\r\n\r\n`);
  const before = liveBytes();
  for (let count = 0; count < 20; count += 1) {
    await new Promise((resolve) => socket.write('1\r\n \r\n'.repeat(10_000), resolve));
  }
  const grown = liveBytes() - before;
  assert.ok(grown < 16 * 1024 * 1024, `${grown} bytes for 200 000 of the body`);
  socket.write(`0\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 400/);
});

test('HTTP/2: requests that send only headers are bounded together, and evicted for reviews', async (t) => {
  const webhook = await startWebhook(t);
  const strangers = Array.from({ length: 6 }, () => http2(t, webhook));
  const start = systemClock.monotonicMs();
  let closed = 0;
  for (const stranger of strangers) {
    await once(stranger, 'remoteSettings');
    for (let count = 0; count < 250; count += 1) {
      const stream = stranger.request({ ':method': 'POST', ':path': '/mutate', ...JSON_TYPE });
      stream.on('error', () => undefined);
      stream.once('close', () => (closed += 1));
    }
  }
  await until(() => closed >= 6 * 250 - 1024);
  assert.ok(systemClock.monotonicMs() - start < BODY_MS, 'their time was over');
  await assertServing(webhook);
});

test('HTTP/2: unfinished bodies on many streams are evicted, too', async (t) => {
  const webhook = await startWebhook(t);
  const stranger = http2(t, webhook);
  await once(stranger, 'connect');
  let closed = 0;
  for (let count = 0; count < 20; count += 1) {
    const stream = stranger.request({ ':method': 'POST', ':path': '/mutate', ...JSON_TYPE });
    stream.on('error', () => undefined).on('close', () => (closed += 1));
    stream.write(' '.repeat(BODY_BYTES - 1));
  }
  await until(() => closed >= 20 - 8);
  await assertServing(webhook);
});

const CLIENT = createTestCa();
const WITH_CLIENT_CA = parseInstallation({ webhook: { clientCA: CLIENT.caPem } });

/** A certificate as options of TLS. */
function shown({ certPem, keyPem }: ReturnType<typeof CLIENT.issue>): {
  cert: string;
  key: string;
} {
  return { cert: certPem, key: keyPem };
}

test('with a client CA: the API server is answered, over HTTP/1.1 and HTTP/2', async (t) => {
  const webhook = await startWebhook(t, { installation: WITH_CLIENT_CA });
  const own = shown(CLIENT.issue());
  assert.equal((await webhook.send({ ...MUTATE, ...own }, reviewBody())).status, 200);
  assert.equal(await review(http2(t, webhook, own)), 200);
  const { ca, change, source } = webhook.files;
  const before = source.current?.certificatePem;
  const { certPem, keyPem } = ca.issue();
  change({ cert: certPem, key: keyPem });
  await until(() => source.current?.certificatePem !== before);
  assert.equal((await webhook.send({ ...MUTATE, ...own }, reviewBody())).status, 200);
  assert.equal((await webhook.send(MUTATE, reviewBody())).status, 401, 'after a reload as well');
});

test('with a client CA: other callers get 401 without side effects; probes are unaffected', async (t) => {
  const webhook = await startWebhook(t, { installation: WITH_CLIENT_CA });
  const metrics = async (): Promise<string> => {
    const all = await (await fetch(`${webhook.healthUrl}/metrics`)).text();
    return all
      .split('\n')
      .filter((line) => line.startsWith('vouchsafe_admission'))
      .join('\n');
  };
  const [lines, counts] = [webhook.logger.lines.length, await metrics()];
  const strangers = [{}, shown(createTestCa().issue()), shown(webhook.files.ca.issue())];
  for (const stranger of strangers) {
    assert.equal((await webhook.send({ ...MUTATE, ...stranger }, reviewBody())).status, 401);
    assert.equal((await webhook.send({ ...MUTATE, ...stranger }, 'no JSON')).status, 401);
    assert.equal(await review(http2(t, webhook, stranger)), 401);
    assert.equal((await webhook.send({ path: '/readyz', ...stranger })).status, 200);
  }
  assert.deepEqual([webhook.logger.lines.length, await metrics()], [lines, counts]);
  assert.equal((await fetch(`${webhook.healthUrl}/readyz`)).status, 200);
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`with a client CA: a resumed session does not replace the certificate (${version})`, async (t) => {
    const webhook = await startWebhook(t, { installation: WITH_CLIENT_CA });
    const agent = new Agent({ maxCachedSessions: 10, minVersion: version, maxVersion: version });
    t.after(() => agent.destroy());
    for (let count = 0; count < 5; count += 1) {
      assert.equal((await webhook.send({ ...MUTATE, agent }, reviewBody())).status, 401);
    }
  });
}

test('an invalid client CA ends the webhook at its start', async (t) => {
  const pem = '-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n';
  const installation = parseInstallation({ webhook: { clientCA: pem } });
  await assert.rejects(startWebhook(t, { installation }), { code: 'ERR_SERVER_CERTIFICATE' });
});
