import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { parseWorkloadApiAddress, type Method } from '../../../src/spiffe/index.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { WORKLOAD_API } from '../../../src/spiffe/proto/messages.ts';
import {
  createTransport,
  type Transport,
  type TransportOptions,
} from '../../../src/spiffe/transport.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { until } from '../../helpers/until.ts';

const never = new AbortController().signal;
const nothing = new Uint8Array();

async function listening(t: TestContext, server: net.Server): Promise<string> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => void sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`; // it listens on TCP
}

function transportTo(
  t: TestContext,
  address: string,
  { clock = systemClock, timeoutMs = 45_000 }: Partial<TransportOptions> = {},
): Transport<Method> {
  const parsed = parseWorkloadApiAddress(address);
  const transport = createTransport(parsed, WORKLOAD_API, { clock, timeoutMs });
  t.after(() => transport.close());
  return transport;
}

/** A gRPC server without any gRPC library. */
async function http2Server(
  t: TestContext,
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
): Promise<string> {
  const server = http2.createServer();
  server.on('sessionError', () => undefined);
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on('error', () => undefined);
    onStream(stream, headers);
  });
  return await listening(t, server);
}

function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function answer(
  stream: http2.ServerHttp2Stream,
  messages: readonly Uint8Array[],
  status = 0,
): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }));
  for (const message of messages) stream.write(frame(message));
  stream.end();
}

test('strict servers see a plain authority, the security header and the bare service name', async (t) => {
  const seen: http2.IncomingHttpHeaders[] = [];
  const address = await http2Server(t, (stream, headers) => {
    seen.push(headers);
    if (headers[':authority'] === 'localhost') answer(stream, [Buffer.from('yes')]);
    else stream.close(http2.constants.NGHTTP2_PROTOCOL_ERROR);
  });
  const reply = await transportTo(t, address).unary('FetchJWTSVID', nothing, never);
  assert.equal(Buffer.from(reply).toString(), 'yes');
  assert.equal(seen[0]?.[':path'], '/SpiffeWorkloadAPI/FetchJWTSVID');
  assert.equal(seen[0][':scheme'], 'http');
  assert.equal(seen[0]['workload.spiffe.io'], 'true');
});

test('a server that resets a call is unavailable', async (t) => {
  const address = await http2Server(t, (stream) =>
    stream.close(http2.constants.NGHTTP2_PROTOCOL_ERROR),
  );
  await assert.rejects(transportTo(t, address).unary('FetchJWTSVID', nothing, never), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
  });
});

test('a web server is not a Workload API', async (t) => {
  const address = await http2Server(t, (stream) => {
    stream.respond({ ':status': 404 });
    stream.end('<html>');
  });
  await assert.rejects(transportTo(t, address).unary('FetchJWTSVID', nothing, never), {
    code: 'ERR_SPIFFE_UNIMPLEMENTED',
    message: /Is it a SPIFFE Workload API\?/,
  });
});

for (const [what, onConnection] of [
  ['speaks something else', (socket: net.Socket) => socket.end('SSH-2.0-nothing\r\n')],
  ['hangs up', (socket: net.Socket) => socket.destroy()],
] as const) {
  test(`a peer that ${what} is unavailable`, async (t) => {
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      onConnection(socket);
    });
    const address = await listening(t, server);
    await assert.rejects(transportTo(t, address).unary('FetchJWTSVID', nothing, never), {
      code: 'ERR_SPIFFE_UNAVAILABLE',
    });
  });
}

test('a connection that is cut in the middle of a stream ends it with an error', async (t) => {
  const address = await http2Server(t, (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.write(frame(Buffer.from('one')), () => stream.session?.destroy());
  });
  const messages = transportTo(t, address).stream('FetchX509SVID', nothing, never);
  assert.equal((await messages.next()).done, false);
  await assert.rejects(messages.next(), { code: 'ERR_SPIFFE_UNAVAILABLE' });
});

test('a message over 16 MiB is rejected', async (t) => {
  const big = Buffer.alloc(16 * 1024 * 1024 + 1);
  const address = await http2Server(t, (stream) => answer(stream, [big]));
  await assert.rejects(transportTo(t, address).unary('FetchJWTSVID', nothing, never), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: /RESOURCE_EXHAUSTED.*larger than max/,
  });
});

test('a server that never answers is given up after the deadline', async (t) => {
  let seen = 0;
  let cancelled = 0;
  const address = await http2Server(t, (stream) => {
    seen += 1;
    stream.on('aborted', () => (cancelled += 1));
  });
  const clock = new FakeClock();
  const transport = transportTo(t, address, { clock, timeoutMs: 30_000 });
  for (const [index, call] of [
    () => transport.unary('FetchJWTSVID', nothing, never),
    () => transport.stream('FetchX509SVID', nothing, never).next(),
  ].entries()) {
    const rejected = assert.rejects(call(), {
      code: 'ERR_SPIFFE_UNAVAILABLE',
      message: /no response within 30 s/,
    });
    await until(() => seen > index);
    await clock.advance(30_000);
    await rejected;
    await until(() => cancelled > index); // the server is notified
  }
});

test('the deadline is for the first message; a quiet stream lives on', async (t) => {
  const streams: http2.ServerHttp2Stream[] = [];
  const address = await http2Server(t, (stream) => {
    streams.push(stream);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.write(frame(Buffer.from('one')));
  });
  const clock = new FakeClock();
  const transport = transportTo(t, address, { clock, timeoutMs: 30_000 });
  const messages = transport.stream('FetchX509SVID', nothing, never);
  await messages.next();
  await clock.advance(45_000);
  streams[0]?.write(frame(Buffer.from('two')));
  assert.equal(Buffer.from((await messages.next()).value).toString(), 'two');
});

test('a status after good messages is reported', async (t) => {
  const address = await http2Server(t, (stream) => answer(stream, [Buffer.from('one')], 7));
  const messages = transportTo(t, address).stream('FetchX509SVID', nothing, never);
  assert.equal((await messages.next()).done, false);
  await assert.rejects(messages.next(), { code: 'ERR_SPIFFE_DENIED' });
});
