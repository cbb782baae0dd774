import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  Client,
  credentials,
  Metadata,
  type ClientReadableStream,
  type StatusObject,
} from '@grpc/grpc-js';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { startWorkloadApi, type DevWorkloadApi } from '../../../../src/dev/workload-api/index.ts';
import { MESSAGES, type Method } from '../../../../src/spiffe/index.ts';
import { FakeClock } from '../../../helpers/fake-clock.ts';
import { until } from '../../../helpers/until.ts';

const A = { spiffeId: 'spiffe://example.org/a' };
const asIs = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

function clientOf(t: TestContext, server: DevWorkloadApi): Client {
  const target = server.address.replace(/^(unix|tcp):\/\//, (scheme) =>
    scheme === 'tcp://' ? '' : 'unix:',
  );
  const client = new Client(target, credentials.createInsecure());
  t.after(() => client.close());
  return client;
}

function header(...values: readonly string[]): Metadata {
  const metadata = new Metadata();
  for (const value of values) metadata.add('workload.spiffe.io', value);
  return metadata;
}

function unary(
  client: Client,
  method: Method,
  request: Uint8Array,
  metadata = header('true'),
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const path = `/SpiffeWorkloadAPI/${method}`;
  client.makeUnaryRequest(path, asIs, asIs, request, metadata, (error, answer) => {
    if (answer === undefined) reject(error ?? new Error('no answer'));
    else resolve(answer);
  });
  return promise;
}

function stream(
  client: Client,
  method: Method,
  metadata = header('true'),
): ClientReadableStream<Uint8Array> {
  const path = `/SpiffeWorkloadAPI/${method}`;
  const call: ClientReadableStream<Uint8Array> = client.makeServerStreamRequest(
    path,
    asIs,
    asIs,
    new Uint8Array(),
    metadata,
  );
  return call.on('error', () => undefined);
}

/** The status that a stream ends with. */
function endOf(call: ClientReadableStream<Uint8Array>): Promise<StatusObject> {
  const { promise, resolve } = Promise.withResolvers<StatusObject>();
  call.on('status', resolve).resume();
  return promise;
}

const jwtRequest = MESSAGES.JWTSVIDRequest.encode({ audience: ['vault'] });

for (const [what, metadata] of [
  ['missing', header()],
  ['another text', header('TRUE')],
  ['given twice', header('true', 'true')],
] as const) {
  test(`a security header that is ${what} is rejected in SPIRE's words`, async (t) => {
    await using server = await startWorkloadApi({ identities: [A] });
    const client = clientOf(t, server);
    const details = 'security header missing from request';
    await assert.rejects(unary(client, 'FetchJWTSVID', jwtRequest, metadata), { code: 3, details });
    const status = await endOf(stream(client, 'FetchX509SVID', metadata));
    assert.partialDeepStrictEqual(status, { code: 3, details });
    assert.equal(server.calls.FetchJWTSVID, 1);
    client.close();
  });
}

for (const method of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles'] as const) {
  test(`${method} without a registration entry is denied in SPIRE's words`, async (t) => {
    await using server = await startWorkloadApi();
    const client = clientOf(t, server);
    const status = await endOf(stream(client, method));
    assert.partialDeepStrictEqual(status, { code: 7, details: 'no identity issued' });
    client.close();
  });
}

for (const [what, request, expected] of [
  ['no audience', {}, { code: 3, details: 'audience must be specified' }],
  [
    'a SPIFFE ID that is none',
    { audience: ['a'], spiffeId: 'x' },
    { code: 3, details: 'invalid requested SPIFFE ID: x' },
  ],
  [
    'the SPIFFE ID of somebody else',
    { audience: ['a'], spiffeId: 'spiffe://example.org/b' },
    { code: 7, details: 'no identity issued' },
  ],
] as const) {
  test(`a request for a JWT-SVID with ${what} is rejected`, async (t) => {
    await using server = await startWorkloadApi({ identities: [A] });
    const client = clientOf(t, server);
    const bytes = MESSAGES.JWTSVIDRequest.encode(request);
    await assert.rejects(unary(client, 'FetchJWTSVID', bytes), expected);
    client.close();
  });
}

test('validation wants an audience and a token', async (t) => {
  await using server = await startWorkloadApi({ identities: [A] });
  const client = clientOf(t, server);
  const { ValidateJWTSVIDRequest: request } = MESSAGES;
  for (const [message, details] of [
    [request.encode({ svid: 'a.b.c' }), 'audience must be specified'],
    [request.encode({ audience: 'a' }), 'svid must be specified'],
  ] as const) {
    await assert.rejects(unary(client, 'ValidateJWTSVID', message), { code: 3, details });
  }
  client.close();
});

test('a call that the service does not have is unimplemented', async (t) => {
  await using server = await startWorkloadApi({ identities: [A] });
  const client = clientOf(t, server);
  const method = 'FetchWITSVID' as Method; // not one of ours
  await assert.rejects(unary(client, method, new Uint8Array()), { code: 12 });
  client.close();
});

test('minted tokens carry iss only when it is configured, and verify before and after rotation', async () => {
  const clock = new FakeClock();
  const jwtIssuer = 'https://oidc.example.org';
  await using plain = await startWorkloadApi({ clock });
  await using server = await startWorkloadApi({ clock, jwtIssuer, jwtTtlMs: 60_000 });
  const tokens = [await server.mintJwtSvid(A.spiffeId, ['vault'])];
  server.rotateJwtKey();
  tokens.push(await server.mintJwtSvid(A.spiffeId, ['vault']));
  // clients of the bundle select by `kid`; `use` is SPIFFE's own
  const keys = server.jwks().keys.map(({ use, ...key }) => {
    assert.equal(use, 'jwt-svid');
    return key;
  });
  for (const token of tokens) {
    const options = { currentDate: new Date(clock.now()), issuer: jwtIssuer, audience: 'vault' };
    const { payload } = await jwtVerify(token, createLocalJWKSet({ keys }), options);
    assert.equal(payload.exp, clock.now() / 1000 + 60);
  }
  const anonymous = await plain.mintJwtSvid(A.spiffeId, ['vault']);
  assert.doesNotMatch(Buffer.from(anonymous.split('.')[1] ?? '', 'base64url').toString(), /iss/);
});

test('faults touch open streams of their method alone', async (t) => {
  await using server = await startWorkloadApi({ identities: [A] });
  const client = clientOf(t, server);
  const svids = stream(client, 'FetchX509SVID');
  const bundles = stream(client, 'FetchX509Bundles');
  await Promise.all([once(svids, 'data'), once(bundles, 'data')]);
  server.fault('FetchX509SVID', { kind: 'code', code: 14, message: 'going down' });
  assert.partialDeepStrictEqual(await endOf(svids), { code: 14, details: 'going down' });
  await until(() => server.openStreams === 1);
  server.dropStreams();
  assert.partialDeepStrictEqual(await endOf(bundles), { code: 0 });
  client.close();
});

test('a hanging stream gets its state when the fault is lifted', async (t) => {
  await using server = await startWorkloadApi({ identities: [A] });
  const client = clientOf(t, server);
  server.fault('FetchJWTBundles', { kind: 'hang' });
  const bundles = stream(client, 'FetchJWTBundles');
  const first = once(bundles, 'data');
  await until(() => server.openStreams === 1);
  server.fault('FetchJWTBundles', undefined);
  const [message] = (await first) as [Uint8Array]; // what `data` carries
  const { bundles: keys } = MESSAGES.JWTBundlesResponse.decode(message);
  assert.deepEqual([...keys.keys()], ['spiffe://example.org']);
  bundles.cancel();
  await until(() => server.openStreams === 0);
  client.close();
});

test('a stream that is ended ends without a message', async (t) => {
  await using server = await startWorkloadApi({ identities: [A] });
  const client = clientOf(t, server);
  server.fault('FetchX509SVID', { kind: 'end' });
  server.fault('FetchJWTSVID', { kind: 'end' });
  assert.partialDeepStrictEqual(await endOf(stream(client, 'FetchX509SVID')), { code: 0 });
  await assert.rejects(unary(client, 'FetchJWTSVID', jwtRequest), { code: 14 });
  client.close();
});

test('the socket is open to all users and goes away with its directory', async () => {
  const server = await startWorkloadApi();
  const path = server.address.slice('unix://'.length);
  assert.equal((await stat(path)).mode & 0o777, 0o777);
  await server.close();
  assert.ok(!existsSync(dirname(path)));
});

test('a stale socket of a predecessor is replaced', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-test-'));
  t.after(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'api.sock'), '');
  const address = `unix://${directory}/api.sock`;
  await using server = await startWorkloadApi({ address });
  assert.equal(server.address, address);
});

test('a port that is taken is an error', async () => {
  await using server = await startWorkloadApi({ address: 'tcp://127.0.0.1:0' });
  await assert.rejects(startWorkloadApi({ address: server.address }), /EADDRINUSE/);
});

test('the DNS names of an entry are in its X.509-SVID, the first as common name too', async (t) => {
  const dnsNames = ['web.example.org', 'www.example.org'];
  await using server = await startWorkloadApi({ identities: [{ ...A, dnsNames }] });
  const client = clientOf(t, server);
  const call = stream(client, 'FetchX509SVID');
  const [message] = (await once(call, 'data')) as [Uint8Array];
  const [svid] = MESSAGES.X509SVIDResponse.decode(message).svids;
  const leaf = new X509Certificate(svid?.x509Svid ?? '');
  assert.equal(leaf.subject, 'CN=web.example.org');
  assert.equal(leaf.subjectAltName, `DNS:${dnsNames.join(', DNS:')}, URI:${A.spiffeId}`);
  call.cancel();
  client.close();
});

test('an answer can be slow', async (t) => {
  const clock = new FakeClock(Date.now());
  await using server = await startWorkloadApi({ identities: [A], clock });
  const client = clientOf(t, server);
  server.fault('FetchJWTSVID', { kind: 'delay', delayMs: 25_000 });
  let isAnswered = false;
  const answer = unary(client, 'FetchJWTSVID', jwtRequest).finally(() => (isAnswered = true));
  await until(() => server.calls.FetchJWTSVID === 1);
  await clock.advance(24_999);
  assert.equal(isAnswered, false);
  await clock.advance(1);
  assert.equal(MESSAGES.JWTSVIDResponse.decode(await answer).svids.length, 1);
  client.close();
});
