import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startWorkloadApi, type DevWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import { createIdentity, createWorkloadApi, type Identity } from '../../../src/spiffe/index.ts';
import { createMtls } from '../../../src/spiffe/mtls.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { until } from '../../helpers/until.ts';

const ID = { spiffeId: 'spiffe://example.org/driver' };
const never = new AbortController().signal;
const timeoutMs = 30;

interface Setup {
  readonly server: DevWorkloadApi;
  readonly identity: Identity;
  readonly clock: FakeClock;
}

async function setup(t: TestContext, identities = [ID]): Promise<Setup> {
  const clock = new FakeClock();
  const server = await startWorkloadApi({ clock, identities });
  const api = createWorkloadApi({ address: server.address, clock });
  const identity = createIdentity({ api, clock, random: { next: () => 0.5 } });
  const stop = new AbortController();
  const running = identity.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
    api.close();
    await server.close();
  });
  return { server, identity, clock };
}

test('settings stay the same until the SVID rotates', async (t) => {
  const { identity, clock, server } = await setup(t);
  const mtls = createMtls({ identity, clock });
  const first = await mtls.current(never);
  assert.equal(await mtls.current(never), first);
  assert.equal(first.expiresAtMs, clock.now() + 3_600_000);
  const updates = identity.x509Updates(never)[Symbol.asyncIterator]();
  await updates.next();
  const replaced = first.replaced(never);
  const givenUp = first.replaced(AbortSignal.abort(new Error('enough')));
  await assert.rejects(givenUp, /enough/);
  server.rotateX509();
  await replaced;
  await updates.next();
  const second = await mtls.current(never);
  assert.notEqual(second, first);
  assert.notEqual(second.secureContext, first.secureContext);
});

test('who has no SVID of its own soon hears why', async (t) => {
  const { identity, clock } = await setup(t, []);
  await until(() => identity.lastError !== undefined);
  const waiting = assert.rejects(createMtls({ identity, clock, timeoutMs }).current(never), {
    code: 'ERR_SPIFFE_UNAVAILABLE',
    message: /has no X.509-SVID of its own: .*"no identity issued"/,
  });
  await clock.advance(timeoutMs);
  await waiting;
});

test('who has not heard from the Workload API yet says so', async (t) => {
  const { server, clock } = await setup(t);
  const api = createWorkloadApi({ address: server.address, clock });
  const idle = createIdentity({ api, clock, random: { next: () => 0.5 } }); // nobody runs it
  const waiting = assert.rejects(createMtls({ identity: idle, clock, timeoutMs }).current(never), {
    message: /the Workload API has not sent one yet/,
  });
  await clock.advance(timeoutMs);
  await waiting;
  api.close();
});

test('an abort is not a lack of an SVID', async (t) => {
  const { identity, clock } = await setup(t, []);
  const reason = new Error('enough');
  const waiting = createMtls({ identity, clock }).current(AbortSignal.abort(reason));
  await assert.rejects(waiting, reason);
});

test('an error of the own Workload API that no retry can mend is reported as it is', async (t) => {
  const clock = new FakeClock();
  const server = await startWorkloadApi({ clock });
  t.after(() => server.close());
  server.fault('FetchX509SVID', { kind: 'code', code: 12, message: 'no such call' });
  const api = createWorkloadApi({ address: server.address, clock });
  const identity = createIdentity({ api, clock, random: { next: () => 0.5 } });
  const gone = { code: 'ERR_SPIFFE_UNIMPLEMENTED' };
  await assert.rejects(identity.run(never), gone);
  await assert.rejects(createMtls({ identity, clock }).current(never), gone);
  api.close();
});
