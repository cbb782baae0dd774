import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createTestCa } from '../../../../src/dev/ca/index.ts';
import { startDevVault } from '../../../../src/dev/vault/index.ts';
import { settle } from '../../../helpers/fake-clock.ts';
import { startBench } from './client.ts';

test('the log has the requests and how they ended, and no values', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/mounts/kv', { type: 'kv' });
  await bench.root('POST', 'kv/x', { a: 'hush' });
  const [accessor] = bench.vault.tokenAccessors;
  assert.deepEqual(bench.vault.requests, [
    {
      method: 'POST',
      path: 'kv/x',
      namespace: '',
      accessor,
      certificate: undefined,
      atMs: bench.clock.now(),
      status: 204,
    },
  ]);
  const headers = { 'x-vault-namespace': '/team/' };
  await bench.call('hvs.unknown', 'GET', 'kv/x?list=true', { headers });
  assert.equal(bench.vault.count({ pathPrefix: 'kv/' }), 2);
  assert.equal(
    bench.vault.count(({ method, namespace }) => method === 'LIST' && namespace === 'team'),
    1,
  );
  assert.equal(
    bench.vault.count(({ accessor: of }) => of === undefined),
    1,
  );
});

test('waiting for requests', async () => {
  await using bench = await startBench();
  const stop = new AbortController();
  const arrived = bench.vault.waitFor({ path: 'sys/health' }, 2, stop.signal);
  await bench.call('', 'GET', 'sys/health');
  await bench.call('', 'GET', 'sys/health');
  await arrived;
  const never = bench.vault.waitFor({ path: 'none' }, 1, stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(never, { message: 'enough' });
});

test('faults replace responses of Vault, as often as they are set to', async () => {
  await using bench = await startBench();
  const { faults, address } = bench.vault;
  const ask = (): Promise<Response> => fetch(`${address}/v1/sys/health`, { redirect: 'manual' });
  const match = { method: 'GET', pathPrefix: 'sys/health' };
  const headers = { 'retry-after': '7' };
  faults.add({ match, times: 1, respond: { status: 500, body: { errors: ['boom'] } } });
  faults.add({ match, times: 1, respond: { status: 502, body: '<html>', headers } });
  const remove = faults.add({ match, respond: { redirect: 'http://127.0.0.1:9' } });
  assert.deepEqual(await (await ask()).json(), { errors: ['boom'] });
  const page = await ask();
  assert.deepEqual([await page.text(), page.headers.get('retry-after')], ['<html>', '7']);
  assert.equal((await ask()).headers.get('location'), 'http://127.0.0.1:9/v1/sys/health');
  remove();
  assert.equal((await ask()).status, 200);
  faults.add({ match: (request) => request.path === 'sys/health', respond: 'garbage' });
  await assert.rejects((await ask()).json(), SyntaxError);
  faults.clear();
  await ask();
  assert.deepEqual(
    bench.vault.requests.map((request) => request.status),
    [500, 502, 307, 200, 200, 200],
  );
});

test('connections that break in the middle, hang, or are answered late', async () => {
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
  stop.abort();
  await assert.rejects(hanging, { name: 'AbortError' });
  vault.faults.add({ match: {}, times: 1, respond: { delayMs: 5000 } });
  const late = fetch(url);
  await vault.waitFor({}, 4, new AbortController().signal);
  await settle();
  await clock.advance(5000);
  assert.equal((await late).status, 200);
});

test('a rate limit responds with 429 and the time to wait, until the interval is over', async () => {
  await using bench = await startBench();
  bench.vault.rateLimit({ requests: 2, intervalMs: 10_000 });
  const ask = async (): Promise<[number, string | null]> => {
    const { status, headers } = await fetch(`${bench.vault.address}/v1/sys/health`);
    return [status, headers.get('retry-after')];
  };
  assert.deepEqual([(await ask())[0], (await ask())[0]], [200, 200]);
  await bench.clock.advance(4000);
  assert.deepEqual(await ask(), [429, '6']);
  await bench.clock.advance(6000);
  assert.equal((await ask())[0], 200);
  bench.vault.rateLimit(undefined);
  for (let count = 0; count < 3; count += 1) assert.equal((await ask())[0], 200);
});

test('closing ends delayed responses, and connections in the middle of a TLS handshake', async () => {
  const bench = await startBench();
  const { vault, clock } = bench;
  vault.faults.add({ match: {}, respond: { delayMs: 60_000 } });
  const ended = assert.rejects(fetch(`${vault.address}/v1/sys/health`), TypeError);
  await vault.waitFor({}, 1, new AbortController().signal);
  await vault.close();
  await vault.close();
  await ended;
  assert.equal(clock.sleeping, 0);
  const secure = await startDevVault({ tls: createTestCa().issue() });
  const bare = connect(Number(new URL(secure.address).port), '127.0.0.1');
  const closed = once(bare, 'close');
  await once(bare, 'connect');
  await settle();
  await secure.close();
  await closed;
});
