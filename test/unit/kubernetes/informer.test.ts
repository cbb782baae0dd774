import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Informer, watchNamespaces, type Namespaces } from '../../../src/kubernetes/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';
import { seededRandom } from '../../helpers/random.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';

const COLLECTION = '/api/v1/namespaces';
const SIGNAL = new AbortController().signal;

interface World {
  readonly cluster: MemoryKubernetes;
  readonly clock: FakeClock;
  readonly logger: RecordingLogger;
  readonly namespaces: Namespaces;
}

function begin(t: TestContext, start: boolean): World {
  const [cluster, clock, logger] = [new MemoryKubernetes(), new FakeClock(), recordingLogger()];
  const { api } = cluster.connect();
  const random = seededRandom(1);
  const namespaces = watchNamespaces({ api, prefix: 'vouchsafe.dev', clock, random, logger });
  if (start) {
    const stopping = new AbortController();
    const ended = namespaces.run(stopping.signal).catch(() => undefined);
    t.after(async () => {
      stopping.abort();
      await ended;
      assert.equal(clock.sleeping, 0);
    });
  }
  return { cluster, clock, logger, namespaces };
}

const annotated = (role: string): object => ({
  metadata: { annotations: { 'vouchsafe.dev/role': role, 'other.dev/x': 'hunter2' } },
});

const roleOf = async ({ namespaces }: World, name: string): Promise<string | undefined> =>
  (await namespaces.lookup(name, SIGNAL))['vouchsafe.dev/role'];

test('listed objects need no further request, and changes are seen', async (t) => {
  const world = begin(t, true);
  const { cluster, namespaces } = world;
  cluster.put(`${COLLECTION}/shop`, annotated('a'));
  await settle();
  const before = cluster.requests.length;
  assert.deepEqual(await namespaces.lookup('shop', SIGNAL), { 'vouchsafe.dev/role': 'a' });
  cluster.put(`${COLLECTION}/shop`, annotated('b'));
  cluster.put(`${COLLECTION}/new`, annotated('n'));
  await settle();
  assert.equal(await roleOf(world, 'shop'), 'b');
  assert.equal(await roleOf(world, 'new'), 'n');
  assert.equal(cluster.requests.length, before);
});

test('before the first list a namespace is looked up', async (t) => {
  const world = begin(t, false);
  world.cluster.put(`${COLLECTION}/shop`, annotated('a'));
  assert.equal(await roleOf(world, 'shop'), 'a');
  assert.deepEqual(world.cluster.requests, [`GET ${COLLECTION}/shop`]);
  await assert.rejects(roleOf(world, 'none'), /HTTP 404 NotFound/);
});

test('an invalid name makes no request', async (t) => {
  const { namespaces, cluster } = begin(t, false);
  for (const name of ['', '../secrets', 'a/b', 'a?x', 'A']) {
    await assert.rejects(namespaces.lookup(name, SIGNAL), /not a valid name/);
  }
  assert.deepEqual(cluster.requests, []);
});

test('a namespace is known only when it is in the view', async (t) => {
  const { cluster, namespaces } = begin(t, true);
  cluster.put(`${COLLECTION}/shop`, annotated('a'));
  assert.equal(namespaces.has('shop'), false);
  await settle();
  assert.equal(namespaces.has('shop'), true);
  for (const name of ['none', '', '../shop', 'toString', '__proto__']) {
    assert.equal(namespaces.has(name), false, name);
  }
  cluster.delete(`${COLLECTION}/shop`);
  await settle();
  assert.equal(namespaces.has('shop'), false);
});

test('made-up names cause a bounded number of requests, known ones none', async (t) => {
  const world = begin(t, true);
  const { cluster, clock, namespaces } = world;
  cluster.put(`${COLLECTION}/shop`, annotated('a'));
  await settle();
  const before = cluster.requests.length;
  for (let index = 0; index < 1000; index += 1) {
    await assert.rejects(namespaces.lookup(`made-up-${index}`, SIGNAL));
  }
  assert.equal(cluster.requests.length - before, 50);
  assert.equal(await roleOf(world, 'shop'), 'a');
  await clock.advance(1000);
  await assert.rejects(namespaces.lookup('made-up', SIGNAL), /HTTP 404/);
});

test('many namespaces are listed in pages', async (t) => {
  const world = begin(t, false);
  for (let index = 0; index < 1201; index += 1) {
    world.cluster.put(`${COLLECTION}/n${index}`, annotated(String(index)));
  }
  const stopping = new AbortController();
  const ended = world.namespaces.run(stopping.signal).catch(() => undefined);
  await settle();
  assert.deepEqual(world.cluster.requests.slice(0, 4), [
    ...Array.from({ length: 3 }, () => `GET ${COLLECTION}`),
    `GET ${COLLECTION}?watch`,
  ]);
  assert.equal(await roleOf(world, 'n1200'), '1200');
  stopping.abort();
  await ended;
});

test('while the API server does not answer the last view is used for ten minutes; logged once', async (t) => {
  const world = begin(t, true);
  const { cluster, clock, logger } = world;
  cluster.put(`${COLLECTION}/shop`, annotated('a'));
  await settle();
  cluster.isAway = true;
  cluster.stir();
  await clock.advance(9 * 60_000);
  assert.equal(await roleOf(world, 'shop'), 'a');
  await assert.rejects(roleOf(world, 'unknown'), /no answer/);
  await clock.advance(61_000);
  await assert.rejects(roleOf(world, 'shop'), /no answer/);
  assert.deepEqual(
    logger.lines.map(({ message }) => message),
    ['objects cannot be watched'],
  );
  cluster.isAway = false;
  cluster.put(`${COLLECTION}/shop`, annotated('b'));
  await clock.advance(31_000);
  assert.equal(await roleOf(world, 'shop'), 'b');
});

test('an expired resource version causes a new list, without deleted objects', async (t) => {
  const [cluster, clock] = [new MemoryKubernetes(), new FakeClock()];
  const connection = cluster.connect();
  cluster.put(`${COLLECTION}/a`, annotated('a'));
  const followed = new Informer({
    api: connection.api,
    collection: COLLECTION,
    read: ({ metadata }) => metadata.name,
    random: seededRandom(1),
    clock,
  });
  const stopping = new AbortController();
  const ended = followed.run(stopping.signal).catch(() => undefined);
  t.after(async () => {
    stopping.abort();
    await ended;
  });
  await settle();
  const age = (): number => followed.ageMs;
  assert.equal(age(), 0);
  connection.isCut = true;
  cluster.delete(`${COLLECTION}/a`);
  cluster.put(`${COLLECTION}/b`, annotated('b'));
  cluster.compact();
  await clock.advance(10_000);
  assert.equal(followed.get('a'), 'a');
  assert.ok(age() >= 10_000);
  connection.isCut = false;
  await clock.advance(31_000);
  assert.deepEqual([followed.get('a'), followed.get('b'), age()], [undefined, 'b', 0]);
});

test('a watch that is silent for 90 s is opened again, and missed changes are seen', async (t) => {
  const [cluster, clock, logger] = [new MemoryKubernetes(), new FakeClock(), recordingLogger()];
  const connection = cluster.connect();
  const random = seededRandom(1);
  const seen = new Informer<string>({
    api: connection.api,
    collection: COLLECTION,
    clock,
    random,
    logger,
    read: ({ metadata }) => metadata.annotations?.['vouchsafe.dev/role'] ?? '',
  });
  const stopping = new AbortController();
  const ended = seen.run(stopping.signal).catch(() => undefined);
  t.after(async () => {
    stopping.abort();
    await ended;
    assert.equal(clock.sleeping, 0);
  });
  cluster.put(`${COLLECTION}/shop`, annotated('a'));
  await settle();
  assert.equal(seen.get('shop'), 'a');
  connection.isQuiet.watches = true;
  cluster.put(`${COLLECTION}/shop`, annotated('b'));
  await clock.advance(89_000);
  assert.equal(seen.get('shop'), 'a');
  connection.isQuiet.watches = false;
  await clock.advance(2000);
  assert.equal(seen.get('shop'), 'b');
  assert.equal(seen.ageMs, 0);
  assert.deepEqual(logger.lines, [], 'nothing has failed');
});
