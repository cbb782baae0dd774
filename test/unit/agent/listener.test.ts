import assert from 'node:assert/strict';
import { get as httpGet, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { serveAgent, type AgentStatus } from '../../../src/agent/index.ts';
import { raceAbort } from '../../../src/async/index.ts';
import { Crowd } from '../../helpers/crowd.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { recordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

const STATUS: AgentStatus = {
  phase: 'starting',
  logins: 0,
  token: null,
  sessions: [],
  files: [
    {
      name: 'planted-file',
      path: 'planted/path',
      state: 'written',
      age_seconds: 7,
      changed_seconds_ago: 9,
    },
    {
      name: 'planted-other',
      path: 'planted-other',
      state: 'absent',
      age_seconds: 40,
      changed_seconds_ago: 41,
    },
  ],
  secrets: [
    {
      number: 1,
      secret: 'read:kvv2/planted',
      state: 'held',
      lease: false,
      expires_in_seconds: null,
      next: 'fetch',
      next_in_seconds: 60,
      error: { code: 'ERR_VAULT_DENIED', message: 'kvv2/planted is not for role planted' },
    },
    {
      number: 2,
      secret: 'read:database/creds/planted',
      state: 'held',
      lease: true,
      expires_in_seconds: 90,
      next: 'renew',
      next_in_seconds: 30,
      error: null,
    },
  ],
  env: { version: 1_764_497_000, containers: [{ name: 'planted-container', version: null }] },
  errors: [
    { code: 'ERR_VAULT_SEALED', message: 'Vault is sealed' },
    { code: 'ERR_VAULT_DENIED', message: 'kvv2/planted is not for role planted' },
    { code: 'ERR_VAULT_DENIED', message: 'kvv2/planted-2 is not for role planted' },
  ],
};

/** An agent that a test lets deliver or fail. */
class StubAgent {
  isDelivered = false;
  wasDelivered = false;
  readonly start = Promise.withResolvers<undefined>();

  get isStarted(): boolean {
    return this.isDelivered || this.wasDelivered;
  }

  status(): AgentStatus {
    return STATUS;
  }

  delivered(signal: AbortSignal): Promise<void> {
    return raceAbort(this.start.promise, signal);
  }

  deliver(): void {
    this.isDelivered = true;
    this.start.resolve(undefined);
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

interface Bench {
  readonly agent: StubAgent;
  readonly clock: FakeClock;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly url: string;
  readonly get: (path: string, method?: string) => Promise<Answer>;
  readonly stop: () => Promise<void>;
}

async function serve(
  t: TestContext,
  expose = () => Promise.resolve('a_metric 1\n'),
  listen = '127.0.0.1:0',
): Promise<Bench> {
  const agent = new StubAgent();
  const clock = new FakeClock();
  const logger = recordingLogger();
  const controller = new AbortController();
  const bound = Promise.withResolvers<string>();
  const parts = { agent, clock, logger, expose, listen };
  const done = serveAgent(parts, controller.signal, bound.resolve);
  const url = `http://${await bound.promise}`;
  const stop = async (): Promise<void> => {
    controller.abort();
    await done;
    assert.equal(clock.sleeping, 0, 'no timer is left');
  };
  t.after(stop);
  return {
    agent,
    clock,
    logger,
    url,
    stop,
    async get(path, method = 'GET') {
      const response = await fetch(url + path, { method, headers: { connection: 'close' } });
      return { status: response.status, text: await response.text(), headers: response.headers };
    },
  };
}

test('it is alive while it serves, ready once this process has delivered', async (t) => {
  const { agent, get } = await serve(t);
  assert.equal((await get('/healthz')).status, 200);
  const early = await get('/readyz');
  assert.equal(early.status, 503);
  assert.match(early.text, /ERR_VAULT_SEALED: Vault is sealed/, 'a person sees why');
  agent.wasDelivered = true;
  assert.equal((await get('/readyz')).status, 503);
  agent.deliver();
  assert.equal((await get('/readyz')).status, 200);
});

test('a startup probe that comes too early is held for a moment', async (t) => {
  const { agent, clock, get } = await serve(t);
  const probe = get('/startup');
  await until(() => clock.sleeping === 1);
  agent.deliver();
  assert.equal((await probe).status, 200);
  assert.equal(clock.sleeping, 0);
});

test('the kubelet is sent on to an address that is the reason, where the connection ends', async (t) => {
  const { clock, url } = await serve(t);
  const headers = { 'user-agent': 'kube-probe/1.34' };
  const probe = fetch(`${url}/startup`, { headers, redirect: 'manual' });
  await until(() => clock.sleeping > 0);
  await clock.advance(1000);
  const response = await probe;
  const location = response.headers.get('location');
  assert.deepEqual([response.status, location], [307, '/startup/ERR_VAULT_SEALED:Vault-is-sealed']);
  await response.body?.cancel();
  await assert.rejects(fetch(`${url}${location ?? ''}`, { headers }), /fetch failed/);
});

test('a startup probe is not held longer than the kubelet waits', async (t) => {
  const { clock, get } = await serve(t);
  const probe = get('/startup');
  await until(() => clock.sleeping === 1);
  await clock.advance(1000);
  const answer = await probe;
  assert.equal(answer.status, 503);
  assert.match(answer.text, /not ready: starting/);
});

test('a start that fails while a probe is held shows in the answer', async (t) => {
  const { agent, clock, logger, get } = await serve(t);
  const probe = get('/startup');
  await until(() => clock.sleeping === 1);
  agent.start.promise.catch(() => undefined);
  agent.start.reject(new Error('impossible'));
  assert.equal((await probe).status, 503);
  assert.deepEqual(logger.lines, []);
});

test('the files of a predecessor are enough to start', async (t) => {
  const { agent, get } = await serve(t);
  agent.wasDelivered = true;
  assert.equal((await get('/startup')).status, 200);
});

test('metrics and status are for machines and people, and never cached', async (t) => {
  const { get } = await serve(t);
  const metrics = await get('/metrics?name=x');
  assert.deepEqual([metrics.status, metrics.text], [200, 'a_metric 1\n']);
  assert.match(metrics.headers.get('content-type') ?? '', /version=0\.0\.4/);
  const status = await get('/status');
  assert.deepEqual(JSON.parse(status.text), STATUS);
  assert.equal(status.headers.get('cache-control'), 'no-store');
  const head = await get('/status', 'HEAD');
  assert.deepEqual([head.status, head.text], [200, '']);
});

/** Addresses of loopback that are nobody's in the pod: of a mesh's proxy, and of whatever else may send from there. */
const OUTSIDE: readonly string[] = ['127.0.0.6', '127.0.0.2', '127.1.0.1', '127.0.0.10'];
/** What proxies add to the requests of strangers. */
const HANDED_ON: readonly string[] = [
  ...['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-client-cert', 'x-real-ip'],
  ...['x-envoy-internal', 'l5d-client-id'],
];

test('a caller outside the pod sees phase, age, next step and codes, and no name, path or message', async (t) => {
  const { url } = await serve(t);
  const brief = {
    phase: 'starting',
    age_seconds: 40,
    next: 'renew',
    next_in_seconds: 30,
    errors: [{ code: 'ERR_VAULT_SEALED' }, { code: 'ERR_VAULT_DENIED' }],
  };
  for (const localAddress of OUTSIDE) {
    const { text } = await ask(`${url}/status`, { localAddress });
    assert.deepEqual(JSON.parse(text), brief, localAddress);
  }
  for (const header of HANDED_ON) {
    const { text } = await ask(`${url}/status`, { headers: { [header]: 'x' } });
    assert.deepEqual(JSON.parse(text), brief, header);
  }
  assert.deepEqual(JSON.parse((await ask(`${url}/status`, {})).text), STATUS);
});

test('the same over an address of IPv6 that stands for one of IPv4', async (t) => {
  const { url } = await serve(t, undefined, '[::]:0');
  const port = Number(new URL(url).port);
  const inside = await ask(`http://127.0.0.1:${port}/status`, {});
  assert.deepEqual(JSON.parse(inside.text), STATUS);
  const outside = await ask(`http://127.0.0.1:${port}/status`, { localAddress: '127.0.0.6' });
  assert.doesNotMatch(outside.text, /planted/);
});

test('callers outside the pod, and the kubelet, see error codes and their meaning', async (t) => {
  const { clock, url } = await serve(t);
  const localAddress = '127.0.0.6';
  const ready = await ask(`${url}/readyz`, { localAddress });
  assert.equal(ready.status, 503);
  assert.match(ready.text, /^not ready: starting\nERR_VAULT_SEALED: Vault is sealed, or/);
  assert.match(ready.text, /ERR_VAULT_DENIED: A Vault policy does not allow this path/);
  assert.doesNotMatch(ready.text, /planted/);
  const headers = { 'user-agent': 'kube-probe/1.34' };
  const startup = ask(`${url}/startup`, { localAddress, headers });
  await until(() => clock.sleeping > 0);
  await clock.advance(1000);
  const { status, text, location } = await startup;
  assert.equal(status, 307);
  assert.equal(
    location,
    '/startup/ERR_VAULT_SEALED:Vault-is-sealed-or-has-no-active-node-The-request-is-retried-',
  );
  assert.doesNotMatch(text, /planted/);
});

test('any other request is rejected without a log line', async (t) => {
  const { url, logger, get } = await serve(t);
  assert.equal((await get('/')).status, 404);
  assert.equal((await get('/../etc/passwd')).status, 404);
  assert.equal((await get('/healthz', 'POST')).status, 405);
  assert.equal((await get('/healthz', 'DELETE')).status, 405);
  for (const target of ['//', 'http://[', '*', '//%00']) {
    assert.match(
      await raw(url, `GET ${target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`),
      /^HTTP\/1\.1 4/,
    );
  }
  assert.match(await raw(url, 'garbage\r\n\r\n'), /^HTTP\/1\.1 400/);
  assert.deepEqual(logger.lines, []);
});

test('a failure inside is answered without its text', async (t) => {
  const { logger, get } = await serve(t, () => Promise.reject(new Error('planted-value')));
  const answer = await get('/metrics');
  assert.deepEqual([answer.status, answer.text], [500, 'internal error\n']);
  assert.equal(logger.lines.length, 1);
});

test('70 idle connections keep no probe out', async (t) => {
  const { agent, url, get } = await serve(t);
  agent.deliver();
  using crowd = await Crowd.gather({ port: Number(new URL(url).port), size: 70 });
  for (let count = 0; count < 20; count += 1) {
    assert.equal((await get('/healthz')).status, 200);
    assert.equal((await get('/startup')).status, 200);
  }
  assert.equal(crowd.size, 70, 'there is room for all');
});

test('the startup probe is answered while strangers come again as fast as they are closed', async (t) => {
  const { agent, url, get } = await serve(t);
  agent.deliver();
  const port = Number(new URL(url).port);
  using crowd = await Crowd.gather({ port, size: 500, reopenings: 50_000 });
  for (let count = 0; count < 10; count += 1) assert.equal((await get('/startup')).status, 200);
  assert.ok(crowd.reopeningsLeft > 0 && crowd.closed > 0);
});

test('the startup probe is answered while other callers request it as well and are held', async (t) => {
  const { agent, clock, url, get } = await serve(t);
  const says = 'GET /startup HTTP/1.1\r\nhost: a\r\n\r\n';
  using crowd = await Crowd.gather({ port: Number(new URL(url).port), size: 400, says });
  await until(() => clock.sleeping >= 256);
  const probe = get('/startup');
  await until(() => crowd.closed > 400 - 256);
  agent.deliver();
  assert.equal((await probe).status, 200);
});

test('its end closes open connections and ends held probes', async (t) => {
  const { clock, url, get, stop } = await serve(t);
  const idle = connect(Number(new URL(url).port), '127.0.0.1');
  idle.on('error', () => undefined);
  await once(idle, 'connect');
  const probe = get('/startup').catch(() => undefined);
  await until(() => clock.sleeping === 1);
  await stop();
  await probe;
  if (!idle.closed) await once(idle, 'close');
});

test('a port that is taken is an error that names it', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo; // a TCP server that listens has one
  const parts = {
    agent: new StubAgent(),
    clock: new FakeClock(),
    logger: recordingLogger(),
    expose: () => Promise.resolve(''),
    listen: `127.0.0.1:${port}`,
  };
  await assert.rejects(serveAgent(parts, new AbortController().signal), {
    code: 'ERR_SERVER_LISTEN',
    message: `cannot listen on 127.0.0.1:${port}`,
  });
});

async function raw(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.end(text);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(Buffer.from(chunk as Uint8Array)); // no encoding is set
  return Buffer.concat(chunks).toString();
}

interface Given {
  readonly localAddress?: string;
  readonly headers?: IncomingHttpHeaders;
}

/** Asks from an address of loopback, following nothing. */
async function ask(
  url: string,
  { localAddress, headers = {} }: Given,
): Promise<{ status: number; text: string; location: string | undefined }> {
  const options = { agent: false, headers, ...(localAddress !== undefined && { localAddress }) };
  const answer = Promise.withResolvers<IncomingMessage>();
  httpGet(url, options, answer.resolve).on('error', answer.reject);
  const response = await answer.promise;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(Buffer.from(chunk as Uint8Array)); // no encoding is set
  const { statusCode = 0, headers: given } = response;
  return { status: statusCode, text: Buffer.concat(chunks).toString(), location: given.location };
}
