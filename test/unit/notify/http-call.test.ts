import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { VouchsafeError, type ErrorCode } from '../../../src/core/index.ts';
import { callHttp, describeCall } from '../../../src/notify/http-call.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { until } from '../../helpers/until.ts';
import { ALWAYS, pass, serve } from './harness.ts';

function refusal(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof VouchsafeError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

for (const method of ['GET', 'POST', 'PUT'] as const) {
  for (const status of [200, 202, 204, 299]) {
    test(`${method} answered with ${status} succeeds`, async (t) => {
      const server = await serve(t, (response) => response.writeHead(status).end());
      const clock = new FakeClock();
      await callHttp({ method, url: `${server.url}?a=b` }, clock, ALWAYS);
      assert.deepEqual(server.calls, [`${method} /-/reload?a=b`]);
      assert.equal(clock.sleeping, 0);
    });
  }
}

test('the call has an empty body and says so', async (t) => {
  const lengths: unknown[] = [];
  const server = await serve(t, (response, request) => {
    lengths.push(request.headers['content-length']);
    request.resume().on('end', () => response.end());
  });
  await callHttp({ method: 'POST', url: server.url }, new FakeClock(), ALWAYS);
  assert.deepEqual(lengths, ['0']);
});

test('localhost is loopback, on whichever of its addresses the application listens', async (t) => {
  const addresses = Object.values(networkInterfaces()).flatMap((list = []) => list);
  const present = addresses.map(({ address }) => address);
  for (const host of ['127.0.0.1', '::1'].filter((address) => present.includes(address))) {
    const server = await serve(t, (response) => response.end(), host);
    const url = `http://localhost:${server.port}/`;
    await callHttp({ method: 'GET', url }, new FakeClock(), ALWAYS);
    assert.deepEqual(server.calls, ['GET /']);
  }
});

for (const status of [301, 302, 307, 308]) {
  test(`a redirect (${status}) is not followed`, async (t) => {
    const elsewhere = await serve(t, (response) => response.end());
    const server = await serve(t, (response) =>
      response.writeHead(status, { location: elsewhere.url }).end(),
    );
    const call = callHttp({ method: 'POST', url: server.url }, new FakeClock(), ALWAYS);
    await assert.rejects(call, refusal('ERR_NOTIFY_STATUS', /redirects are not followed/));
    assert.deepEqual(elsewhere.calls, []);
  });
}

for (const status of [400, 401, 404, 405, 500, 503]) {
  test(`an answer of ${status} is an error that holds no part of the body or the query`, async (t) => {
    const server = await serve(t, (response) => response.writeHead(status).end('hush-body'));
    const url = `${server.url}?token=hush-query`;
    await assert.rejects(callHttp({ method: 'POST', url }, new FakeClock(), ALWAYS), (error) => {
      assert.ok(error instanceof VouchsafeError);
      assert.equal(error.code, 'ERR_NOTIFY_STATUS');
      assert.equal(error.details['status'], status);
      assert.doesNotMatch(`${error.message}${JSON.stringify(error)}`, /hush/);
      return true;
    });
  });
}

for (const url of ['http://10.0.0.1/', 'https://127.0.0.1/', 'http://example.org/', 'reload']) {
  test(`${url} is rejected without a call`, async () => {
    const call = callHttp({ method: 'POST', url }, new FakeClock(), ALWAYS);
    await assert.rejects(call, refusal('ERR_CONFIG_INVALID', /not allowed/));
  });
}

test('nobody listening is an error that asks for the application', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on a port, not on a pipe
  server.close();
  await once(server, 'close');
  for (const host of ['127.0.0.1', 'localhost']) {
    const call = callHttp(
      { method: 'POST', url: `http://${host}:${port}/` },
      new FakeClock(),
      ALWAYS,
    );
    await assert.rejects(call, refusal('ERR_NOTIFY_TARGET', /\(ECONNREFUSED\).*listening/));
  }
});

test('an answer that is not HTTP is an error', async (t) => {
  const server = createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo; // it listens on a port, not on a pipe
  const call = callHttp(
    { method: 'GET', url: `http://127.0.0.1:${port}/` },
    new FakeClock(),
    ALWAYS,
  );
  await assert.rejects(call, refusal('ERR_NOTIFY_TARGET', /HPE_/));
});

test('no answer within five seconds is a timeout', async (t) => {
  const server = await serve(t, () => undefined);
  const clock = new FakeClock();
  const call = callHttp({ method: 'POST', url: server.url }, clock, ALWAYS);
  const refused = assert.rejects(call, refusal('ERR_NOTIFY_TIMEOUT', /within 5 s/));
  await until(() => server.calls.length === 1);
  await clock.advance(4999);
  assert.equal(clock.sleeping, 1);
  await clock.advance(1);
  await refused;
});

test('a body without end is cut off, and the status counts', async (t) => {
  let cut = false;
  const server = await serve(t, (response) => {
    response.writeHead(200).on('close', () => {
      cut = true;
    });
    const more = (): void => {
      while (response.write(Buffer.alloc(16_384)));
    };
    response.on('drain', more);
    more();
  });
  await callHttp({ method: 'POST', url: server.url }, new FakeClock(), ALWAYS);
  await until(() => cut);
});

test('a body that stalls is waited for no longer than the limit, and the status counts', async (t) => {
  const server = await serve(t, (response) => response.writeHead(200).write('x'));
  const clock = new FakeClock();
  const call = callHttp({ method: 'POST', url: server.url }, clock, ALWAYS);
  await pass(clock, call);
  await call;
});

test('an abort ends the call with its reason', async (t) => {
  const server = await serve(t, () => undefined);
  const clock = new FakeClock();
  const controller = new AbortController();
  const reason = new Error('stop');
  const call = callHttp({ method: 'POST', url: server.url }, clock, controller.signal);
  const aborted = assert.rejects(call, (error) => error === reason);
  await until(() => server.calls.length === 1);
  controller.abort(reason);
  await aborted;
  assert.equal(clock.sleeping, 0);
});

test('a call is described without query, user or fragment', () => {
  const url = 'http://127.0.0.1:8080/-/reload?token=x#y';
  assert.equal(describeCall({ method: 'POST', url }), 'POST http://127.0.0.1:8080/-/reload');
  assert.equal(describeCall({ method: 'GET', url: ':' }), 'GET of a malformed URL');
});
