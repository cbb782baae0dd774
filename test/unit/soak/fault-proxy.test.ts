import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { startFaultProxy, type FaultProxy } from '../../helpers/fault-proxy.ts';

suite('the proxy that breaks', () => {
  const server = createServer((_, response) => response.end('x'.repeat(1000)));
  let proxy: FaultProxy;

  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    proxy = await startFaultProxy((server.address() as AddressInfo).port); // TCP has a port
  });

  after(async () => {
    await proxy[Symbol.asyncDispose]();
    server.close();
  });

  const get = async (): Promise<Response> =>
    fetch(`http://${proxy.address}/`, { headers: { connection: 'close' } });

  const length = async (): Promise<number> => (await (await get()).text()).length;

  test('passes everything on', async () => {
    assert.equal(await length(), 1000);
  });

  for (const kind of ['refuse', 'reset', 'cut', 'garbage'] as const) {
    test(`${kind}: the request fails, and works when the fault is over`, async () => {
      await proxy.fault({ kind });
      await assert.rejects(length());
      await proxy.fault(undefined);
      assert.equal(await length(), 1000);
    });
  }

  test('busy: the status and how long to wait', async () => {
    await proxy.fault({ kind: 'busy', status: 429, retryAfterSeconds: 7 });
    const response = await get();
    assert.equal(response.status, 429);
    assert.equal(response.headers.get('retry-after'), '7');
    await proxy.fault(undefined);
  });

  test('hang: nothing comes through until it is over', async () => {
    await proxy.fault({ kind: 'hang' });
    const asked = once(server, 'request').then(() => 'asked');
    const answer = length();
    const first = await Promise.race([asked, new Promise((resolve) => setImmediate(resolve))]);
    assert.equal(first, undefined);
    await proxy.fault(undefined);
    assert.equal(await answer, 1000);
  });

  test('delay: late, but whole', async () => {
    await proxy.fault({ kind: 'delay', delayMs: 30 });
    const began = performance.now();
    assert.equal(await length(), 1000);
    assert.ok(performance.now() - began >= 29);
    await proxy.fault(undefined);
  });
});
