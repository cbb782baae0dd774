import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { serveHttp, type Handler } from '../../../src/http/index.ts';
import { listen } from '../../../src/http/listener.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { Crowd } from '../../helpers/crowd.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

interface Served {
  readonly port: number;
  readonly logger: RecordingLogger;
}

async function serve(t: TestContext, handler: Handler): Promise<Served> {
  const [logger, controller] = [recordingLogger(), new AbortController()];
  const bound = Promise.withResolvers<string>();
  const bounds = { clock: systemClock, logger, stopping: controller.signal };
  const options = { listen: '127.0.0.1:0', handler, ...bounds };
  const done = serveHttp(options, controller.signal, bound.resolve);
  done.catch(bound.reject);
  t.after(async () => {
    controller.abort();
    await done;
  });
  return { port: Number(new URL(`http://${await bound.promise}`).port), logger };
}

const OK: Handler = () => ({ status: 200, body: 'ok\n' });

/** As the kubelet asks: by a connection of its own. */
async function probe(port: number, path = '/'): Promise<number> {
  const request = get({ port, host: '127.0.0.1', path, agent: false });
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage];
  await text(response);
  return response.statusCode ?? 0;
}

test('every probe is answered beside any number of idle connections', async (t) => {
  const { port } = await serve(t, OK);
  using crowd = await Crowd.gather({ port, size: 520 });
  for (let count = 0; count < 50; count += 1) assert.equal(await probe(port), 200);
  assert.ok(crowd.closed >= 520 - 256);
});

test('every probe is answered while callers reconnect as fast as they can', async (t) => {
  const { port } = await serve(t, OK);
  using crowd = await Crowd.gather({ port, size: 500, reopenings: 20_000 });
  for (let count = 0; count < 20; count += 1) assert.equal(await probe(port), 200);
  assert.ok(crowd.reopeningsLeft > 0, 'they were there all the time');
});

for (const says of [
  'GET /',
  'GET / HTTP/1.1\r\nhost: a\r\nx: y',
  'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n',
]) {
  test(`every probe is answered beside requests that never end: ${JSON.stringify(says)}`, async (t) => {
    const { port } = await serve(t, async (request) => {
      if (request.method === 'POST') await request.readBody(100);
      return { status: 200, body: 'ok\n' };
    });
    using crowd = await Crowd.gather({ port, size: 300, says });
    for (let count = 0; count < 50; count += 1) assert.equal(await probe(port), 200);
    assert.ok(crowd.closed > 0);
  });
}

test('every probe is answered while callers hold slow requests', async (t) => {
  const { port } = await serve(t, ({ path }) =>
    path === '/' ? { status: 200, body: 'ok\n' } : new Promise(() => undefined),
  );
  using crowd = await Crowd.gather({
    port,
    size: 400,
    says: 'GET /long HTTP/1.1\r\nhost: a\r\n\r\n',
  });
  for (let count = 0; count < 50; count += 1) assert.equal(await probe(port), 200);
  assert.ok(crowd.closed > 0);
});

test('an answer under way survives any number of idle connections', async (t) => {
  const held = Promise.withResolvers<undefined>();
  const { port } = await serve(t, async () => {
    await held.promise;
    return { status: 200, body: 'ok\n' };
  });
  const answer = probe(port);
  using crowd = await Crowd.gather({ port, size: 400 });
  await until(() => crowd.closed > 0);
  held.resolve(undefined);
  assert.equal(await answer, 200);
});

test('answers that are never read are bounded together: the oldest is dropped', async (t) => {
  const body = 'x'.repeat(6 * 1024 * 1024);
  const { port } = await serve(t, () => ({ status: 200, body }));
  const lazy = Array.from({ length: 4 }, () => {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    return socket;
  });
  t.after(() => lazy.forEach((socket) => socket.destroy()));
  // The oldest is reset while it reads nothing: what the kernel has for it ends short of the answer.
  await until(() => lazy.every(({ pending }) => !pending));
  assert.equal(await probe(port), 200);
  let received = 0;
  lazy[0]!.on('data', (data: Buffer) => (received += data.length)).resume();
  await once(lazy[0]!, 'close');
  assert.ok(received < body.length);
});

test('a connection without a request, or with half of one, is closed within seconds', async (t) => {
  const { port } = await serve(t, OK);
  using silent = await Crowd.gather({ port, size: 2 });
  using slow = await Crowd.gather({ port, size: 2, says: 'GET / HTTP/1.1\r\nhost: a\r\n' });
  await until(() => silent.size + slow.size === 0);
});

test('a half-closed connection is answered, then closed', async (t) => {
  const { port } = await serve(t, OK);
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  assert.match(await text(socket), /^HTTP\/1\.1 200/);
});

test('an error of the listening socket is only logged', async (t) => {
  const [server, logger] = [createServer(), recordingLogger()];
  t.after(() => server.close());
  await listen(server, '127.0.0.1:0', logger);
  for (let count = 0; count < 3; count += 1) server.emit('error', new Error('EMFILE'));
  assert.equal(logger.lines.length, 3);
  assert.match(logger.text(), /connection was not accepted/);
});

test('an error of a route is a 500, and is logged', async (t) => {
  const { port, logger } = await serve(t, () => {
    throw new Error('impossible');
  });
  assert.equal(await probe(port), 500);
  assert.equal(logger.lines.length, 1);
});
