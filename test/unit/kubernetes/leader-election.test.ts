import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { fieldsOf } from '../../../src/core/index.ts';
import { Lease } from '../../../src/kubernetes/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';
import { seededRandom } from '../../helpers/random.ts';
import { recordingLogger } from '../../helpers/recorder.ts';

const PATH = '/apis/coordination.k8s.io/v1/namespaces/vouchsafe/leases/webhook';

interface Replica {
  readonly lease: Lease;
  readonly connection: ReturnType<MemoryKubernetes['connect']>;
  readonly changes: () => number;
  stop(): Promise<void>;
}

function replica(
  t: TestContext,
  identity: string,
  { cluster, clock, logger = recordingLogger() }: World,
): Replica {
  const connection = cluster.connect();
  let changes = 0;
  const lease = new Lease({
    api: connection.api,
    namespace: 'vouchsafe',
    name: 'webhook',
    identity,
    clock,
    logger,
    random: seededRandom(identity.length),
    onChange: () => (changes += 1),
  });
  const stopping = new AbortController();
  const ended = lease.run(stopping.signal).catch(() => undefined);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await ended;
  };
  t.after(stop);
  return { lease, connection, changes: () => changes, stop };
}

interface World {
  readonly cluster: MemoryKubernetes;
  readonly clock: FakeClock;
  readonly logger?: ReturnType<typeof recordingLogger>;
}

const world = (): World => ({ cluster: new MemoryKubernetes(), clock: new FakeClock() });
const specOf = ({ cluster }: World): Readonly<Record<string, unknown>> =>
  fieldsOf(cluster.get(PATH)?.['spec']);

test('of three that start at once exactly one becomes the leader, and stays it', async (t) => {
  const all = world();
  const replicas = ['a', 'bb', 'ccc'].map((name) => replica(t, name, all));
  await settle();
  const leaders = (): readonly Replica[] => replicas.filter(({ lease }) => lease.isHeld);
  const [first] = leaders();
  for (let minute = 0; minute < 3; minute += 1) {
    assert.deepEqual(leaders(), [first]);
    await all.clock.advance(60_000);
  }
  assert.equal(first?.changes(), 1);
  assert.deepEqual(
    { ...specOf(all), renewTime: '', acquireTime: '' },
    {
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      leaseTransitions: 0,
      renewTime: '',
      acquireTime: '',
    },
  );
  assert.equal(specOf(all)['acquireTime'], '2026-01-01T00:00:00.000000Z');
});

test('a leader that is cut off stops before another one takes over', async (t) => {
  const all = world();
  const [a, b] = [replica(t, 'a', all), replica(t, 'bb', all)];
  await settle();
  a.connection.isCut = true;
  let wereBoth = false;
  for (let second = 0; second < 40; second += 1) {
    await all.clock.advance(1000);
    wereBoth ||= a.lease.isHeld && b.lease.isHeld;
  }
  assert.deepEqual([a.lease.isHeld, b.lease.isHeld, wereBoth], [false, true, false]);
  assert.equal(specOf(all)['leaseTransitions'], 1);
});

test('a leader that stops releases the Lease at once', async (t) => {
  const all = world();
  const [a, b] = [replica(t, 'a', all), replica(t, 'bb', all)];
  await settle();
  await a.stop();
  assert.equal(specOf(all)['holderIdentity'], '');
  await all.clock.advance(6000);
  assert.ok(b.lease.isHeld);
});

test('clock differences do not matter: a Lease from the future expires, too', async (t) => {
  const all = world();
  const renewTime = '2031-01-01T00:00:00.000000Z';
  all.cluster.put(PATH, { spec: { holderIdentity: 'gone', leaseDurationSeconds: 15, renewTime } });
  const { lease } = replica(t, 'a', all);
  await all.clock.advance(14_000);
  assert.ok(!lease.isHeld);
  await all.clock.advance(10_000);
  assert.ok(lease.isHeld);
});

test('garbage in the Lease is ignored', async (t) => {
  const all = world();
  all.cluster.put(PATH, { spec: { holderIdentity: 7, leaseDurationSeconds: 'x' } });
  const { lease } = replica(t, 'a', all);
  await settle();
  assert.ok(lease.isHeld);
});

for (const status of [403, 422]) {
  test(`rejected with ${status}: logged once, retried`, async (t) => {
    const all = { ...world(), logger: recordingLogger() };
    all.cluster.refusals.set('POST /apis/coordination', status);
    const { lease } = replica(t, 'a', all);
    await all.clock.advance(30_000);
    assert.ok(!lease.isHeld);
    assert.deepEqual(
      all.logger.lines.map(({ message }) => message),
      ['the Lease cannot be acquired'],
    );
    all.cluster.refusals.clear();
    await all.clock.advance(7000);
    assert.ok(lease.isHeld);
  });
}
