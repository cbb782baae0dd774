import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { VouchsafeError, type ErrorCode } from '../../../src/core/index.ts';
import { startWorkloadApi, type DevWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import {
  createIdentity,
  createWorkloadApi,
  MESSAGES,
  type Identity,
  type WorkloadApi,
  type X509Context,
  type X509Identity,
} from '../../../src/spiffe/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';
import { until } from '../../helpers/until.ts';

const A = { spiffeId: 'spiffe://example.org/a', hint: 'internal' };
const B = { spiffeId: 'spiffe://example.org/b', hint: 'external' };
const never = new AbortController().signal;
const random = { next: () => 0.5 };

interface Setup {
  readonly server: DevWorkloadApi;
  readonly api: WorkloadApi;
  readonly clock: FakeClock;
  readonly logger: RecordingLogger;
  readonly identity: Identity;
  /** Runs it until the test ends. */
  readonly start: () => void;
}

async function setup(
  t: TestContext,
  choice: { spiffeId?: string; hint?: string } = {},
): Promise<Setup> {
  const clock = new FakeClock();
  const logger = recordingLogger();
  const server = await startWorkloadApi({ identities: [A, B], clock });
  const api = createWorkloadApi({ address: server.address, clock });
  const identity = createIdentity({ api, clock, random, logger, ...choice });
  const stop = new AbortController();
  let running: Promise<void> | undefined;
  t.after(async () => {
    stop.abort();
    await running;
    api.close();
    await server.close();
    assert.equal(clock.sleeping, 0);
  });
  const start = (): void => void (running = identity.run(stop.signal));
  return { server, api, clock, logger, identity, start };
}

for (const [what, choice, expected] of [
  ['nothing', {}, A],
  ['a SPIFFE ID', { spiffeId: B.spiffeId }, B],
  ['a hint', { hint: 'external' }, B],
  ['both', { spiffeId: A.spiffeId, hint: 'internal' }, A],
] as const) {
  test(`choosing by ${what} gives the right JWT-SVID and X.509-SVID`, async (t) => {
    const { identity, start } = await setup(t, choice);
    start();
    const jwt = await identity.jwtSvid(['vault'], never);
    const x509 = await identity.x509Svid(never);
    assert.deepEqual([jwt.spiffeId.uri, jwt.hint], [expected.spiffeId, expected.hint]);
    assert.deepEqual([x509.svid.spiffeId.uri, x509.svid.hint], [expected.spiffeId, expected.hint]);
    assert.equal(identity.lastError, undefined);
  });
}

test('a JWT-SVID is fetched again each time', async (t) => {
  const { identity, server } = await setup(t);
  await identity.jwtSvid(['vault'], never);
  await identity.jwtSvid(['vault'], never);
  assert.equal(server.calls.FetchJWTSVID, 2);
});

test('no SVID with that hint: the error names what there is', async (t) => {
  const { identity, start } = await setup(t, { hint: 'other' });
  start();
  const message =
    /no SVID with the hint "other"; it has spiffe:\/\/example.org\/a \("internal"\), spiffe/;
  await assert.rejects(identity.jwtSvid(['vault'], never), {
    code: 'ERR_SPIFFE_NO_MATCH',
    message,
  });
  await until(() => identity.lastError !== undefined);
  assert.equal(identity.lastError?.code, 'ERR_SPIFFE_NO_MATCH');
});

test('each rotation reaches the consumer, with the state of lastError and one line in the log', async (t) => {
  const { identity, server, logger, start } = await setup(t);
  start();
  const updates = identity.x509Updates(never)[Symbol.asyncIterator]();
  const first = await updates.next();
  server.rotateX509();
  const second = await updates.next();
  server.federate('other.example');
  const third = await updates.next();
  assert.ok(!first.done && !second.done && !third.done);
  assert.notDeepEqual(second.value.svid.certificates, first.value.svid.certificates);
  assert.deepEqual(third.value.svid.certificates, second.value.svid.certificates);
  assert.deepEqual([...third.value.federatedBundles.keys()], ['spiffe://other.example']);
  assert.deepEqual(
    logger.lines.map((line) => line.message),
    ['x509-svid received', 'x509-svid received', 'x509-svid received'],
  );
  assert.ok(!logger.text().includes(first.value.svid.privateKey.reveal().toString()));
});

test('what is denied in mid-stream is no longer used, and comes back when it is granted', async (t) => {
  const { identity, server, clock, start } = await setup(t);
  start();
  await identity.x509Svid(never);
  server.setIdentities([]);
  await until(() => identity.lastError?.code === 'ERR_SPIFFE_DENIED');
  const waiting = identity.x509Svid(never);
  server.setIdentities([B]);
  await until(() => clock.sleeping === 2); // the server's rotation and our backoff
  await clock.advance(2000);
  assert.equal((await waiting).svid.spiffeId.uri, B.spiffeId);
  assert.equal(identity.lastError, undefined);
});

test('what a new message lacks is no longer used', async (t) => {
  const { identity, server, start } = await setup(t, { spiffeId: B.spiffeId });
  start();
  await identity.x509Svid(never);
  server.setIdentities([A]);
  await until(() => identity.lastError?.code === 'ERR_SPIFFE_NO_MATCH');
  const waiting = identity.x509Svid(never);
  server.setIdentities([A, B]);
  assert.equal((await waiting).svid.spiffeId.uri, B.spiffeId);
});

test('a malformed message is reported, and the old SVID and the stream are kept', async (t) => {
  const { identity, server, logger, start } = await setup(t);
  start();
  const before = await identity.x509Svid(never);
  const svid = { spiffeId: A.spiffeId, x509Svid: Buffer.of(), x509SvidKey: Buffer.of() };
  const bytes = MESSAGES.X509SVIDResponse.encode({
    svids: [{ ...svid, bundle: Buffer.of(), hint: '' }],
  });
  server.fault('FetchX509SVID', { kind: 'message', bytes });
  await until(() => identity.lastError?.code === 'ERR_SPIFFE_MALFORMED');
  assert.equal(await identity.x509Svid(never), before);
  server.fault('FetchX509SVID', undefined);
  await until(() => identity.lastError === undefined);
  assert.equal(server.calls.FetchX509SVID, 1);
  assert.equal(logger.lines.filter((line) => line.level === 'error').length, 1);
});

test('an outage keeps the old SVID until it expires', async (t) => {
  const { identity, server, clock, start } = await setup(t);
  start();
  const before = await identity.x509Svid(never);
  server.fault('FetchX509SVID', { kind: 'code', code: 14, message: 'starting' });
  await until(() => identity.lastError?.code === 'ERR_SPIFFE_UNAVAILABLE');
  assert.equal(await identity.x509Svid(never), before);
  clock.jump(3_600_001);
  const waiting = identity.x509Svid(never);
  server.fault('FetchX509SVID', undefined);
  server.rotateX509();
  await clock.advance(2000);
  assert.ok((await waiting).svid.expiresAtMs > clock.now());
});

/** A Workload API that plays what it is given: one list of steps a stream. */
function scripted(streams: (X509Context | ErrorCode | 'quiet' | (() => Promise<void>))[][]): {
  readonly api: WorkloadApi;
  readonly opened: () => number;
} {
  let opened = 0;
  const unused = (): never => assert.fail('not part of this test');
  async function* watch(signal: AbortSignal): AsyncGenerator<X509Context, void, undefined> {
    const steps = streams[opened] ?? ['quiet'];
    opened += 1;
    for (const step of steps) {
      if (step === 'quiet') await new Promise((_, reject) => whenAborted(signal, reject));
      else if (typeof step === 'string') throw new VouchsafeError(step, `scripted ${step}`);
      else if (typeof step === 'function') await step();
      else yield step;
    }
    throw new VouchsafeError('ERR_SPIFFE_UNAVAILABLE', 'the server ended the stream');
  }
  const api = {
    fetchJwtSvids: unused,
    fetchX509Context: unused,
    watchX509Contexts: watch,
    watchX509Bundles: unused,
    watchJwtBundles: unused,
    validateJwtSvid: unused,
    close: () => undefined,
  };
  return { api, opened: () => opened };
}

function whenAborted(signal: AbortSignal, reject: (reason: unknown) => void): void {
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
}

async function realContext(clock: FakeClock): Promise<X509Context> {
  await using server = await startWorkloadApi({ identities: [A], clock });
  const api = createWorkloadApi({ address: server.address, clock });
  const context = await api.fetchX509Context(never);
  api.close();
  return context;
}

/** Runs an identity on a script; `advance` moves time, `waits` are how long each reopening took. */
async function run(
  t: TestContext,
  streams: Parameters<typeof scripted>[0],
  clock = new FakeClock(),
): Promise<{ identity: Identity; clock: FakeClock; opened: () => number; done: Promise<unknown> }> {
  const { api, opened } = scripted(streams);
  const identity = createIdentity({ api, clock, random });
  const stop = new AbortController();
  const done = identity.run(stop.signal).catch((error: unknown) => error);
  t.after(async () => {
    stop.abort(new Error('the end of the test'));
    await done;
    assert.equal(clock.sleeping, 0);
  });
  await settle();
  return { identity, clock, opened, done };
}

/** How long it takes until the next stream is opened. */
async function waitOf(clock: FakeClock, opened: () => number): Promise<number> {
  const count = opened();
  const startMs = clock.monotonicMs();
  while (opened() === count) await clock.advance(100);
  return clock.monotonicMs() - startMs;
}

test('streams that fail are opened again after 1 s, then later and later, up to 30 s', async (t) => {
  const failing = Array.from({ length: 12 }, () => ['ERR_SPIFFE_UNAVAILABLE'] as ErrorCode[]);
  const { clock, opened } = await run(t, failing);
  const waits: number[] = [];
  while (waits.length < 9) waits.push(await waitOf(clock, opened));
  const [first = 0] = waits;
  assert.ok(first >= 1000 && first <= 2000);
  assert.deepEqual(
    waits,
    waits.toSorted((a, b) => a - b),
  );
  assert.ok(waits.every((wait) => wait <= 30_000) && (waits.at(-1) ?? 0) >= 15_000);
});

test('a good message sets the waits back', async (t) => {
  const clock = new FakeClock();
  const context = await realContext(clock);
  const down: ErrorCode[] = ['ERR_SPIFFE_UNAVAILABLE'];
  const { opened } = await run(t, [down, down, down, down, [context], down], clock);
  const waits: number[] = [];
  while (waits.length < 5) waits.push(await waitOf(clock, opened));
  assert.ok((waits[3] ?? 0) > 2000);
  assert.ok((waits[4] ?? 0) <= 2000); // after the good one, which ended at once
});

test('a stream that brought something and lived is followed by the next one at once', async (t) => {
  const clock = new FakeClock();
  const context = await realContext(clock);
  const live = (): Promise<void> => clock.sleep(1000, never);
  const { opened, identity } = await run(t, [[context, live], [context]], clock);
  await clock.advance(999);
  assert.equal(opened(), 1);
  await clock.advance(1);
  assert.equal(opened(), 2);
  await settle();
  assert.equal(opened(), 2); // the second one ended too early: a server that hangs up is not stormed
  assert.equal(identity.lastError?.code, 'ERR_SPIFFE_UNAVAILABLE');
});

test('the same state, reported again, wakes no caller', async (t) => {
  const clock = new FakeClock();
  const context = await realContext(clock);
  const { identity } = await run(t, [[context], [context, 'quiet']], clock);
  const seen: X509Identity[] = [];
  const stop = new AbortController();
  const reading = (async () => {
    for await (const update of identity.x509Updates(stop.signal)) seen.push(update);
  })().catch(() => undefined);
  await clock.advance(5000);
  assert.equal(seen.length, 1);
  stop.abort();
  await reading;
});

for (const code of ['ERR_SPIFFE_REJECTED', 'ERR_SPIFFE_UNIMPLEMENTED'] as const) {
  test(`${code} ends the loop for good, and waiting callers get the error`, async (t) => {
    const { identity, opened, done, clock } = await run(t, [[code]]);
    const error = await done;
    assert.ok(error instanceof VouchsafeError && error.code === code);
    await assert.rejects(identity.x509Svid(never), { code });
    assert.equal(identity.lastError, error);
    await clock.advance(120_000);
    assert.equal(opened(), 1);
  });
}

for (const code of [
  'ERR_SPIFFE_DENIED',
  'ERR_SPIFFE_UNAVAILABLE',
  'ERR_SPIFFE_MALFORMED',
] as const) {
  test(`${code} does not end the loop`, async (t) => {
    const { opened, clock, identity } = await run(t, [[code]]);
    assert.equal(identity.lastError?.code, code);
    await clock.advance(2000);
    assert.equal(opened(), 2);
  });
}

test('a stream that is silent although the SVID nears its end is opened again', async (t) => {
  const clock = new FakeClock();
  const context = await realContext(clock);
  const { opened } = await run(t, [[context, 'quiet'], ['quiet']], clock);
  await clock.advance(0.7 * 3_600_000);
  assert.equal(opened(), 1);
  await clock.advance(0.05 * 3_600_000);
  assert.equal(opened(), 2);
  await clock.advance(60_000);
  assert.equal(opened(), 3); // and again, but no more often than once a minute
});

test('an abort ends the run without an error and waiters with its reason', async () => {
  const clock = new FakeClock();
  const { api } = scripted([['ERR_SPIFFE_UNAVAILABLE']]);
  const identity = createIdentity({ api, clock, random });
  const reason = new Error('enough');
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  const waiting = assert.rejects(identity.x509Svid(stop.signal), reason);
  await settle();
  stop.abort(reason);
  await running;
  await waiting;
  assert.equal(clock.sleeping, 0);
});

test('failures are counted by code, and the expiry is shown', async (t) => {
  const clock = new FakeClock();
  const context = await realContext(clock);
  const samples: [string, ...unknown[]][] = [];
  const metrics = {
    counter: (name: string) => ({
      add: (labels?: object) => void samples.push([name, labels]),
      remove: () => undefined,
    }),
    gauge: (name: string) => ({
      set: (value: number) => void samples.push([name, value]),
      remove: () => undefined,
    }),
    histogram: () => ({ observe: () => undefined }),
  };
  const { api } = scripted([[context, 'ERR_SPIFFE_DENIED']]);
  const identity = createIdentity({ api, clock, random, metrics });
  const stop = new AbortController();
  t.after(() => stop.abort());
  void identity.run(stop.signal);
  await settle();
  assert.deepEqual(samples, [
    ['vouchsafe_x509_svid_expiry_timestamp_seconds', (context.svids[0]?.expiresAtMs ?? 0) / 1000],
    ['vouchsafe_x509_svid_expiry_timestamp_seconds', 0],
    ['vouchsafe_x509_svid_failures_total', { code: 'ERR_SPIFFE_DENIED' }],
  ]);
});
