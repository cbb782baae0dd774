import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import nodeVault from 'node-vault';
import { createTestCa } from '../../../../src/dev/ca/index.ts';
import { startDevVault } from '../../../../src/dev/vault/index.ts';
import { settle } from '../../../helpers/fake-clock.ts';
import { startBench, text } from './client.ts';

test('node-vault works with it, LIST included', async () => {
  await using bench = await startBench();
  const { vault } = bench;
  const client = nodeVault({ endpoint: vault.address, token: vault.rootToken.reveal() });
  await client.mount({ mount_point: 'kvv2', type: 'kv', options: { version: '2' } });
  await client.write('kvv2/data/app/db', { data: { a: '1' } });
  // node-vault types its answers as any.
  const read = (await client.read('kvv2/data/app/db')) as object;
  assert.deepEqual(Object.keys(read).slice(0, 4), [
    'request_id',
    'lease_id',
    'renewable',
    'lease_duration',
  ]);
  const listed = (await client.list('kvv2/metadata/app')) as { data: unknown };
  assert.deepEqual(listed.data, { keys: ['db'] });
  assert.equal(vault.count({ method: 'LIST', path: 'kvv2/metadata/app' }), 1);
  await assert.rejects(client.read('kvv2/data/none'), { message: 'Status 404' });
});

test('it serves TLS with the certificate it is given', async () => {
  const ca = createTestCa();
  await using vault = await startDevVault({ tls: ca.issue() });
  assert.match(vault.address, /^https:/);
  const client = nodeVault({
    endpoint: vault.address.replace('127.0.0.1', 'localhost'),
    token: vault.rootToken.reveal(),
    requestOptions: { ca: ca.caPem },
  });
  const health = (await client.health()) as { initialized: unknown };
  assert.equal(health.initialized, true);
});

test('closing with TLS ends connections in the middle of their handshake too', async () => {
  const ca = createTestCa();
  const vault = await startDevVault({ tls: ca.issue() });
  const { port } = new URL(vault.address);
  const bare = connect(Number(port), '127.0.0.1');
  const ended = once(bare, 'close');
  const client = tlsConnect({ port: Number(port), host: '127.0.0.1', ca: ca.caPem });
  await once(client, 'secureConnect');
  assert.equal(vault.openSockets, 2);
  client.destroy();
  await vault.close();
  await ended;
  await settle();
  assert.equal(vault.openSockets, 0);
});

test('the log says who asked for what and how it ended, and no values', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/mounts/secret', { type: 'kv' });
  const made = await bench.root('POST', 'auth/token/create', { policies: ['default'] });
  const token = text(made.body['auth']?.['client_token']);
  await bench.call('POST', 'secret/x', { token, body: { a: 'hush' } });
  assert.deepEqual(bench.vault.requests.at(-1), {
    method: 'POST',
    path: 'secret/x',
    namespace: '',
    accessor: made.body['auth']?.['accessor'],
    atMs: bench.clock.now(),
    status: 403,
  });
  const printed = JSON.stringify(bench.vault.requests);
  assert.ok(!printed.includes('hush') && !printed.includes(token));
  assert.equal(bench.vault.count({ pathPrefix: 'secret/' }), 1);
  assert.equal(
    bench.vault.count((request) => request.accessor === undefined),
    0,
  );
});

test('waiting for requests', async () => {
  await using bench = await startBench();
  const stop = new AbortController();
  const arrived = bench.vault.waitFor({ path: 'sys/health' }, 2, stop.signal);
  await bench.call('GET', 'sys/health');
  await bench.call('GET', 'sys/health');
  await arrived;
  const never = bench.vault.waitFor({ path: 'nope' }, 1, stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(never, { message: 'enough' });
});

test('bodies and paths that are no requests of Vault', async () => {
  await using bench = await startBench();
  const token = bench.vault.rootToken.reveal();
  const post = (body: string): Promise<Response> =>
    fetch(`${bench.vault.address}/v1/sys/mounts/x`, {
      method: 'POST',
      headers: { 'x-vault-token': token },
      body,
    });
  for (const body of ['{oops', '[1]', '"a"']) assert.equal((await post(body)).status, 400);
  assert.equal((await fetch(`${bench.vault.address}/ui/`)).status, 404);
  assert.equal((await bench.root('OPTIONS', 'sys/mounts')).status, 405);
  const { headers } = await bench.call('GET', 'sys/health');
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.equal(headers.get('content-type'), 'application/json');
});

test('faults answer in place of Vault, as often as they are told', async () => {
  await using bench = await startBench();
  const { faults } = bench.vault;
  const match = { method: 'GET', pathPrefix: 'sys/health' };
  faults.add({ match, times: 1, respond: { status: 500, body: { errors: ['boom'] } } });
  faults.add({
    match,
    times: 1,
    respond: { status: 502, body: '<html>', headers: { 'retry-after': '7' } },
  });
  const remove = faults.add({ match, respond: { redirect: 'http://127.0.0.1:9' } });
  const ask = () => bench.call('GET', 'sys/health');
  const first = await ask();
  assert.deepEqual([first.status, first.body], [500, { errors: ['boom'] }]);
  const second = await ask();
  assert.deepEqual(
    [second.status, second.text, second.headers.get('retry-after')],
    [502, '<html>', '7'],
  );
  const third = await ask();
  assert.deepEqual(
    [third.status, third.headers.get('location')],
    [307, 'http://127.0.0.1:9/v1/sys/health'],
  );
  remove();
  assert.equal((await ask()).status, 200);
  faults.add({ match: (request) => request.path === 'sys/health', respond: 'garbage' });
  assert.throws(() => void JSON.parse('{"data": oops'));
  await assert.rejects(ask(), SyntaxError);
  faults.clear();
  assert.equal((await ask()).status, 200);
  assert.deepEqual(
    bench.vault.requests.map((request) => request.status),
    [500, 502, 307, 200, 200, 200],
  );
});

test('connections that break in the middle, hang, or come late', async () => {
  await using bench = await startBench();
  const { vault, clock } = bench;
  const url = `${vault.address}/v1/sys/health`;
  for (const respond of ['reset', 'cut'] as const) {
    vault.faults.add({ match: {}, times: 1, respond });
    await assert.rejects(async () => await (await fetch(url)).text(), TypeError);
  }
  vault.faults.add({ match: {}, times: 1, respond: 'hang' });
  const stop = new AbortController();
  const hanging = fetch(url, { signal: stop.signal });
  await vault.waitFor({}, 3, stop.signal);
  assert.equal(vault.requests.at(-1)?.status, undefined);
  assert.ok(vault.openSockets > 0);
  stop.abort();
  await assert.rejects(hanging, { name: 'AbortError' });
  vault.faults.add({ match: {}, times: 1, respond: { delayMs: 5000 } });
  const late = fetch(url);
  await vault.waitFor({}, 4, new AbortController().signal);
  await settle();
  assert.equal(clock.sleeping, 1);
  await clock.advance(5000);
  assert.equal((await late).status, 200);
});

test('a rate limit answers 429 with the time to wait, until the interval is over', async () => {
  await using bench = await startBench();
  bench.vault.rateLimit({ requests: 2, intervalMs: 10_000 });
  const ask = () => bench.call('GET', 'sys/health');
  assert.deepEqual([(await ask()).status, (await ask()).status], [200, 200]);
  await bench.clock.advance(4000);
  const { status, body, headers } = await ask();
  assert.deepEqual(
    [status, body['errors'], headers.get('retry-after')],
    [429, ['request path "sys/health": rate limit quota exceeded'], '6'],
  );
  await bench.clock.advance(6000);
  assert.equal((await ask()).status, 200);
  bench.vault.rateLimit(undefined);
  assert.equal((await ask()).status, 200);
});

test('closing ends connections and sleeps, and may be done twice', async () => {
  const bench = await startBench();
  const { vault, clock } = bench;
  vault.faults.add({ match: {}, respond: { delayMs: 60_000 } });
  const refused = assert.rejects(fetch(`${vault.address}/v1/sys/health`), TypeError);
  await vault.waitFor({}, 1, new AbortController().signal);
  await vault.close();
  await vault.close();
  await refused;
  await settle();
  assert.deepEqual([vault.openSockets, clock.sleeping], [0, 0]);
  await assert.rejects(fetch(`${vault.address}/v1/sys/health`), TypeError);
});
