import assert from 'node:assert/strict';
import { createSecureContext } from 'node:tls';
import { test } from 'node:test';
import { raceAbort } from '../../../src/async/index.ts';
import {
  Connections,
  type ChannelSecurity,
  type TlsSettings,
} from '../../../src/spiffe/connections.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';

const never = new AbortController().signal;
const LIFE_MS = 60_000;

/** Connections are numbers here: 1, 2, … */
interface Setup {
  readonly connections: Connections<number>;
  readonly closed: readonly number[];
  readonly clock: FakeClock;
  /** From now on a new connection would be opened with other settings. */
  readonly renew: () => void;
}

function setup(): Setup {
  const clock = new FakeClock();
  let replacement = Promise.withResolvers<undefined>();
  const settings = (): TlsSettings => {
    const { promise } = replacement;
    return {
      secureContext: createSecureContext(),
      expiresAtMs: clock.now() + LIFE_MS,
      checkServerIdentity: () => undefined,
      serverProblem: () => undefined,
      async replaced(signal) {
        await raceAbort(promise, signal);
      },
    };
  };
  let newest = settings();
  const renew = (): void => {
    const { resolve } = replacement;
    replacement = Promise.withResolvers();
    newest = settings();
    resolve(undefined);
  };
  const security: ChannelSecurity = { clock, current: () => Promise.resolve(newest) };
  let opened = 0;
  const closed: number[] = [];
  const connections = new Connections(
    () => Promise.resolve((opened += 1)),
    (connection) => void closed.push(connection),
    security,
  );
  return { connections, closed, clock, renew };
}

test('one connection serves all as long as nothing has changed', async () => {
  const { connections, closed } = setup();
  const leases = await Promise.all([connections.acquire(never), connections.acquire(never)]);
  for (const lease of leases) lease.release();
  leases.push(await connections.acquire(never));
  assert.deepEqual(
    leases.map(({ connection }) => connection),
    [1, 1, 1],
  );
  await settle();
  assert.deepEqual(closed, []); // one that nobody uses is kept for the next call
  connections.close();
  await settle();
  assert.deepEqual(closed, [1]);
});

test('without security there is one connection for good', async () => {
  let opened = 0;
  const connections = new Connections(
    (settings) => {
      assert.equal(settings, undefined);
      return Promise.resolve((opened += 1));
    },
    () => undefined,
  );
  for (let call = 0; call < 3; call += 1) (await connections.acquire(never)).release();
  assert.equal(opened, 1);
});

test('an old connection closes after its last call', async () => {
  const { connections, closed, clock, renew } = setup();
  const [a, b] = [await connections.acquire(never), await connections.acquire(never)];
  renew();
  const c = await connections.acquire(never);
  await settle();
  assert.deepEqual([a.connection, b.connection, c.connection], [1, 1, 2]);
  a.release();
  await settle();
  assert.deepEqual([closed, b.ended.aborted, clock.sleeping], [[], false, 1]);
  b.release();
  await settle();
  assert.deepEqual([closed, b.ended.aborted, clock.sleeping], [[1], false, 0]);
  c.release();
  connections.close();
});

test('an old connection without calls closes at once', async () => {
  const { connections, closed, clock, renew } = setup();
  (await connections.acquire(never)).release();
  renew();
  await settle();
  assert.deepEqual([closed, clock.sleeping], [[1], 0]);
  assert.equal((await connections.acquire(never)).connection, 2);
});

test('streams go on beyond the end of a certificate that was not replaced', async () => {
  const { connections, clock } = setup();
  const stream = await connections.acquire(never);
  await clock.advance(LIFE_MS * 2);
  assert.equal(stream.ended.aborted, false); // nothing newer: better an old connection than none
  connections.close();
});

test('streams on an old connection end with its certificate, whether or not there are new calls', async () => {
  const { connections, closed, clock, renew } = setup();
  const stream = await connections.acquire(never);
  renew();
  await clock.advance(LIFE_MS - 1);
  assert.equal(stream.ended.aborted, false);
  await clock.advance(1);
  const next = await connections.acquire(never);
  assert.deepEqual([stream.ended.aborted, next.ended.aborted], [true, false]);
  stream.release();
  await settle();
  assert.deepEqual(closed, [1]);
});

test('closing ends the wait for the end of an old connection', async () => {
  const { connections, closed, clock, renew } = setup();
  await connections.acquire(never);
  renew();
  await connections.acquire(never);
  await settle();
  assert.equal(clock.sleeping, 1);
  connections.close();
  await settle();
  assert.deepEqual([closed.toSorted(), clock.sleeping], [[1, 2], 0]);
  await assert.rejects(connections.acquire(never), TypeError);
});

test('a connection that cannot be opened, and missing security, are reported', async () => {
  const reason = new Error('no such thing');
  const failing = new Connections(
    () => Promise.reject(reason),
    () => assert.fail('nothing to close'),
  );
  await assert.rejects(failing.acquire(never), reason);
  failing.close();
  const insecure = new Connections(
    () => assert.fail('nothing to open'),
    () => undefined,
    { clock: new FakeClock(), current: () => Promise.reject(reason) },
  );
  await assert.rejects(insecure.acquire(never), reason);
  await assert.rejects(insecure.acquire(AbortSignal.abort(new Error('enough'))), /enough/);
});

test('a connection that could not be opened is not handed out again', async () => {
  let tries = 0;
  const closed: number[] = [];
  const failure = new Error('failure');
  const connections = new Connections<number>(
    () => {
      tries += 1;
      return tries <= 2 ? Promise.reject(failure) : Promise.resolve(tries);
    },
    (connection) => void closed.push(connection),
  );
  const together = await Promise.allSettled([
    connections.acquire(never),
    connections.acquire(never),
  ]);
  assert.deepEqual(
    together.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.equal(tries, 1, 'those who come together share one try');
  await assert.rejects(connections.acquire(never), (error) => error === failure);
  const lease = await connections.acquire(never);
  assert.equal(lease.connection, 3);
  assert.equal((await connections.acquire(never)).connection, 3);
  connections.close();
  await settle();
  assert.deepEqual(closed, [3]);
});

test('the same where certificates are used: nothing waits for the next one', async () => {
  const clock = new FakeClock();
  const settings: TlsSettings = {
    secureContext: createSecureContext(),
    expiresAtMs: clock.now() + LIFE_MS,
    checkServerIdentity: () => undefined,
    serverProblem: () => undefined,
    replaced: (signal) => raceAbort(new Promise<never>(() => undefined), signal),
  };
  const security: ChannelSecurity = { clock, current: () => Promise.resolve(settings) };
  let isDown = true;
  const connections = new Connections<number>(
    () => (isDown ? Promise.reject(new Error('down')) : Promise.resolve(1)),
    () => undefined,
    security,
  );
  await assert.rejects(connections.acquire(never), /down/);
  isDown = false;
  assert.equal((await connections.acquire(never)).connection, 1);
  connections.close();
});
