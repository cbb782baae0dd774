import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Secret, VouchsafeError } from '../../../src/core/index.ts';
import {
  startWorkloadApi,
  type DevWorkloadApi,
  type WorkloadApiOptions,
} from '../../../src/dev/workload-api/index.ts';
import { createWorkloadApi, MESSAGES, type WorkloadApi } from '../../../src/spiffe/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

const A = { spiffeId: 'spiffe://example.org/a', hint: 'first' };
const B = { spiffeId: 'spiffe://example.org/b' };
const never = new AbortController().signal;

interface Setup {
  readonly server: DevWorkloadApi;
  readonly api: WorkloadApi;
  readonly clock: FakeClock;
  readonly logger: RecordingLogger;
}

async function setup(t: TestContext, options: WorkloadApiOptions = {}): Promise<Setup> {
  const clock = new FakeClock();
  const logger = recordingLogger();
  const server = await startWorkloadApi({ identities: [A, B], clock, ...options });
  const api = createWorkloadApi({ address: server.address, clock, logger });
  t.after(async () => {
    api.close();
    await server.close();
    assert.equal(server.openStreams, 0);
    assert.equal(clock.sleeping, 0);
  });
  return { server, api, clock, logger };
}

test('JWT-SVIDs come for all identities in the order of the server', async (t) => {
  const { api, clock } = await setup(t);
  const svids = await api.fetchJwtSvids({ audiences: ['vault', 'other'] }, never);
  assert.deepEqual(
    svids.map((svid) => [svid.spiffeId.uri, svid.hint, svid.expiresAtMs - clock.now()]),
    [
      [A.spiffeId, 'first', 300_000],
      [B.spiffeId, '', 300_000],
    ],
  );
  assert.deepEqual(svids[0]?.audiences, ['vault', 'other']);
});

test('a JWT-SVID comes for the one identity that was asked for', async (t) => {
  const { api } = await setup(t, { address: 'tcp://127.0.0.1:0' });
  const request = { audiences: ['vault'], spiffeId: B.spiffeId };
  const svids = await api.fetchJwtSvids(request, never);
  assert.deepEqual(
    svids.map((svid) => svid.spiffeId.uri),
    [B.spiffeId],
  );
});

test('an identity of somebody else is denied, and named', async (t) => {
  const { api } = await setup(t);
  const request = { audiences: ['vault'], spiffeId: 'spiffe://example.org/c' };
  await assert.rejects(api.fetchJwtSvids(request, never), {
    code: 'ERR_SPIFFE_DENIED',
    message: /registration entry.*requested SPIFFE ID is spiffe:\/\/example.org\/c/,
  });
});

test('an invalid SPIFFE ID is rejected by the server', async (t) => {
  const { api } = await setup(t);
  await assert.rejects(api.fetchJwtSvids({ audiences: ['vault'], spiffeId: 'web' }, never), {
    code: 'ERR_SPIFFE_REJECTED',
    message: /invalid requested SPIFFE ID: web/,
  });
});

test('a request without audience is a mistake of the caller', async (t) => {
  const { api, server } = await setup(t);
  await assert.rejects(api.fetchJwtSvids({ audiences: [] }, never), TypeError);
  assert.equal(server.calls.FetchJWTSVID, 0);
});

test('of two SVIDs with the same hint the first counts', async (t) => {
  const hint = 'same';
  const { api } = await setup(t, {
    identities: [
      { ...A, hint },
      { ...B, hint },
    ],
  });
  const svids = await api.fetchJwtSvids({ audiences: ['vault'] }, never);
  assert.deepEqual(
    svids.map((svid) => svid.spiffeId.uri),
    [A.spiffeId],
  );
  assert.equal((await api.fetchX509Context(never)).svids.length, 1);
});

test('an answer without SVIDs breaks the protocol', async (t) => {
  const { api, server } = await setup(t);
  server.fault('FetchJWTSVID', { kind: 'message', bytes: new Uint8Array() });
  await assert.rejects(api.fetchJwtSvids({ audiences: ['vault'] }, never), {
    code: 'ERR_SPIFFE_MALFORMED',
    message: /JWTSVIDResponse without svids/,
  });
});

test('an answer that is not a protocol buffer breaks the protocol', async (t) => {
  const { api, server } = await setup(t);
  server.fault('FetchJWTSVID', { kind: 'garbage' });
  server.fault('FetchX509SVID', { kind: 'garbage' });
  const malformed = { code: 'ERR_SPIFFE_MALFORMED', message: /cannot be decoded/ };
  await assert.rejects(api.fetchJwtSvids({ audiences: ['vault'] }, never), malformed);
  await assert.rejects(api.fetchX509Context(never), malformed);
});

for (const [code, expected] of [
  [3, 'ERR_SPIFFE_REJECTED'],
  [7, 'ERR_SPIFFE_DENIED'],
  [12, 'ERR_SPIFFE_UNIMPLEMENTED'],
  [14, 'ERR_SPIFFE_UNAVAILABLE'],
  [8, 'ERR_SPIFFE_UNAVAILABLE'],
] as const) {
  test(`status ${code} is ${expected} for calls and streams`, async (t) => {
    const { api, server } = await setup(t);
    server.fault('FetchJWTSVID', { kind: 'code', code, message: 'as planted' });
    server.fault('FetchX509SVID', { kind: 'code', code, message: 'as planted' });
    const refused = { code: expected, message: /as planted/ };
    await assert.rejects(api.fetchJwtSvids({ audiences: ['vault'] }, never), refused);
    await assert.rejects(api.fetchX509Context(never), refused);
  });
}

test('the X.509 context holds SVIDs and the bundles of federated trust domains', async (t) => {
  const { api, server, clock } = await setup(t);
  server.federate('other.example');
  const context = await api.fetchX509Context(never);
  assert.deepEqual(
    context.svids.map((svid) => [svid.spiffeId.uri, svid.hint]),
    [
      [A.spiffeId, 'first'],
      [B.spiffeId, ''],
    ],
  );
  assert.equal(context.svids[0]?.expiresAtMs, clock.now() + 3_600_000);
  assert.deepEqual([...context.federatedBundles.keys()], ['spiffe://other.example']);
  assert.deepEqual(context.crls, []);
  await until(() => server.openStreams === 0); // the stream is not kept
});

test('a stream brings each rotation, and discards what is malformed', async (t) => {
  const { api, server, logger } = await setup(t);
  const contexts = api.watchX509Contexts(never)[Symbol.asyncIterator]();
  const first = await contexts.next();
  const one = Buffer.of(1);
  const svid = { spiffeId: A.spiffeId, x509Svid: one, x509SvidKey: one, hint: '' };
  const noBundle = MESSAGES.X509SVIDResponse.encode({ svids: [{ ...svid, bundle: Buffer.of() }] });
  server.fault('FetchX509SVID', { kind: 'message', bytes: noBundle });
  server.fault('FetchX509SVID', undefined);
  server.rotateX509();
  const second = await contexts.next();
  const third = await contexts.next();
  assert.deepEqual(second.value, first.value); // the state after the fault
  assert.notDeepEqual(third.value, first.value);
  assert.deepEqual(
    logger.lines.map(({ level, message, fields }) => [level, message, String(fields['error'])]),
    [
      [
        'warn',
        'message of the identity provider discarded',
        'VouchsafeError: the identity provider sent a X509SVID without bundle',
      ],
    ],
  );
  assert.equal(server.calls.FetchX509SVID, 1);
  await contexts.return?.();
});

test('a message without SVIDs says that all were withdrawn, and ends the stream', async (t) => {
  const { api, server } = await setup(t);
  server.fault('FetchX509SVID', { kind: 'message', bytes: new Uint8Array() });
  const denied = { code: 'ERR_SPIFFE_DENIED', message: /registration entry.*empty list of SVIDs/ };
  await assert.rejects(api.fetchX509Context(never), denied);
  await assert.rejects(api.watchX509Contexts(never)[Symbol.asyncIterator]().next(), denied);
  await until(() => server.openStreams === 0);
});

test('SVIDs rotate by themselves at half of their life', async (t) => {
  const { api, clock } = await setup(t);
  const contexts = api.watchX509Contexts(never)[Symbol.asyncIterator]();
  const before = await contexts.next();
  await clock.advance(1_800_000);
  const after = await contexts.next();
  assert.ok(!before.done && !after.done);
  assert.equal(after.value.svids[0]?.expiresAtMs, clock.now() + 3_600_000);
  await contexts.return?.();
});

test('a stream that the server ends, ends with an error', async (t) => {
  const { api, server } = await setup(t);
  const contexts = api.watchX509Contexts(never)[Symbol.asyncIterator]();
  await contexts.next();
  server.dropStreams();
  await assert.rejects(contexts.next(), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: /ended the stream/,
  });
});

test('X.509 bundles of all trust domains are streamed', async (t) => {
  const { api, server } = await setup(t);
  const bundles = api.watchX509Bundles(never)[Symbol.asyncIterator]();
  const first = await bundles.next();
  assert.ok(!first.done);
  assert.deepEqual([...first.value.keys()], ['spiffe://example.org']);
  server.federate('other.example');
  const second = await bundles.next();
  assert.ok(!second.done);
  assert.deepEqual([...second.value.keys()], ['spiffe://example.org', 'spiffe://other.example']);
  await bundles.return?.();
});

test('JWT keys are streamed; a rotated key stays', async (t) => {
  const { api, server } = await setup(t);
  const bundles = api.watchJwtBundles(never)[Symbol.asyncIterator]();
  const first = await bundles.next();
  server.rotateJwtKey();
  const second = await bundles.next();
  assert.ok(!first.done && !second.done);
  const old = first.value.get('spiffe://example.org')?.keys ?? [];
  const both = second.value.get('spiffe://example.org')?.keys ?? [];
  assert.deepEqual([old.length, both.length], [1, 2]);
  assert.ok(both.some(({ kid }) => kid === old[0]?.kid));
  await bundles.return?.();
});

for (const [what, key] of [
  ['a path', 'spiffe://example.org/a'],
  ['no scheme', 'example.org'],
] as const) {
  test(`bundles keyed by ${what} are discarded`, async (t) => {
    const { api, server } = await setup(t);
    const bytes = MESSAGES.X509BundlesResponse.encode({ bundles: new Map([[key, Buffer.of()]]) });
    server.fault('FetchX509Bundles', { kind: 'message', bytes });
    const discarded = Promise.withResolvers<string>();
    const bundles = api.watchX509Bundles(never, (error) => discarded.resolve(error.code));
    const iterator = bundles[Symbol.asyncIterator]();
    const next = iterator.next();
    assert.equal(await discarded.promise, 'ERR_SPIFFE_MALFORMED');
    server.fault('FetchX509Bundles', undefined);
    assert.equal((await next).done, false); // the stream went on
    await iterator.return?.();
  });
}

test('the agent validates tokens of its own and of federated trust domains', async (t) => {
  const { api, server } = await setup(t);
  const foreign = server.federate('other.example');
  const subject = 'spiffe://other.example/x';
  for (const [id, text] of [
    [A.spiffeId, await server.mintJwtSvid(A.spiffeId, ['me'])],
    [subject, await foreign.tokens.mint({ subject, audience: 'me' })],
  ] as const) {
    const result = await api.validateJwtSvid({ audience: 'me', token: new Secret(text) }, never);
    assert.equal(result.spiffeId.uri, id);
    assert.deepEqual(result.claims['aud'], ['me']);
  }
});

test('tokens that are not valid are rejected and not quoted', async (t) => {
  const { api, server } = await setup(t);
  const expired = await server.mintJwtSvid(A.spiffeId, ['me'], -1000);
  const other = await server.mintJwtSvid(A.spiffeId, ['other']);
  const foreign = await server.mintJwtSvid('spiffe://unknown.example/x', ['me']);
  for (const text of ['hello', expired, other, foreign]) {
    const validation = api.validateJwtSvid({ audience: 'me', token: new Secret(text) }, never);
    await assert.rejects(validation, (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error);
      assert.equal(error.code, 'ERR_SPIFFE_REJECTED');
      assert.ok(!error.message.includes(text));
      return true;
    });
  }
});

test('an abort ends a call and a stream with its own reason', async (t) => {
  const { api, server } = await setup(t);
  server.fault('FetchJWTSVID', { kind: 'hang' });
  server.fault('FetchX509SVID', { kind: 'hang' });
  const reason = new Error('enough');
  const controller = new AbortController();
  const call = api.fetchJwtSvids({ audiences: ['vault'] }, controller.signal);
  const stream = api.fetchX509Context(controller.signal);
  const both = Promise.allSettled([call, stream]);
  await until(() => server.calls.FetchJWTSVID === 1 && server.calls.FetchX509SVID === 1);
  controller.abort(reason);
  for (const result of await both) assert.deepEqual(result, { status: 'rejected', reason });
  await assert.rejects(api.fetchX509Context(controller.signal), reason);
  assert.equal(server.calls.FetchX509SVID, 1);
});

test('an abort while the consumer is busy is seen at its next step', async (t) => {
  const { api } = await setup(t);
  const controller = new AbortController();
  const reason = new Error('enough');
  const contexts = api.watchX509Contexts(controller.signal)[Symbol.asyncIterator]();
  await contexts.next();
  controller.abort(reason);
  await assert.rejects(contexts.next(), reason);
});

test('closing the client ends what is under way, and no more can be begun', async (t) => {
  const { api, server } = await setup(t);
  server.fault('FetchX509SVID', { kind: 'hang' });
  const stream = api.fetchX509Context(never);
  const ended = assert.rejects(stream, { code: 'ERR_SPIFFE_UNAVAILABLE', message: /closed/ });
  await until(() => server.openStreams === 1);
  api.close();
  await ended;
  await assert.rejects(api.fetchX509Context(never), TypeError);
});

test('an agent that was restarted is found again', async (t) => {
  const { api, server, clock } = await setup(t, { address: await socketAddress(t) });
  await api.fetchX509Context(never);
  await server.close();
  await assert.rejects(api.fetchX509Context(never), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: new RegExp(`at ${server.address}: the socket does not exist.*\\(ENOENT\\)`),
  });
  await using restarted = await startWorkloadApi({
    address: server.address,
    identities: [A],
    clock,
  });
  let found = 0;
  while (found === 0) {
    try {
      found = (await api.fetchX509Context(never)).svids.length;
    } catch (error) {
      assert.ok(error instanceof VouchsafeError && error.code === 'ERR_SPIFFE_UNAVAILABLE');
    }
  }
  assert.equal(restarted.calls.FetchX509SVID, 1);
});

async function socketAddress(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-test-'));
  t.after(() => rm(directory, { recursive: true }));
  return `unix://${directory}/api.sock`;
}
