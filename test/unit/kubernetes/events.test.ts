import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { EventRecorder, type ApiObject } from '../../../src/kubernetes/index.ts';
import type { EventDetails } from '../../../src/contracts/index.ts';
import { createMetrics, type MetricsRegistry } from '../../../src/platform/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';
import { seededRandom } from '../../helpers/random.ts';
import { recordingLogger, type RecordingLogger } from '../../helpers/recorder.ts';

const COLLECTION = '/apis/events.k8s.io/v1/namespaces/shop/events';

interface World {
  readonly cluster: MemoryKubernetes;
  readonly clock: FakeClock;
  readonly recorder: EventRecorder;
  readonly metrics: MetricsRegistry;
  readonly logger: RecordingLogger;
  readonly events: () => readonly ApiObject[];
}

function begin(t: TestContext): World {
  const [cluster, clock, metrics] = [new MemoryKubernetes(), new FakeClock(), createMetrics()];
  const [{ api }, logger] = [cluster.connect(), recordingLogger()];
  const recorder = new EventRecorder({
    api,
    clock,
    logger,
    metrics,
    controller: 'vouchsafe.dev/webhook',
    instance: 'pod-1',
    random: seededRandom(1),
  });
  const stopping = new AbortController();
  const ended = recorder.run(stopping.signal).catch(() => undefined);
  t.after(async () => {
    stopping.abort();
    await ended;
    assert.equal(clock.sleeping, 0);
  });
  return { cluster, clock, recorder, metrics, logger, events: () => cluster.list(COLLECTION) };
}

const occurrence = (name = 'web-1', note = 'The pod requests injection.'): EventDetails => ({
  namespace: 'shop',
  regarding: { apiVersion: 'apps/v1', kind: 'ReplicaSet', name, uid: 'u' },
  type: 'Normal',
  reason: 'Injected',
  note,
});

test('an Event has all fields that the API requires', async (t) => {
  const { recorder, clock, events } = begin(t);
  recorder.record(occurrence());
  await clock.advance(0);
  const [event] = events();
  const { metadata, ...fields } = event ?? { metadata: {} };
  assert.match(metadata.name ?? '', /^web-1\.[0-9a-f]+$/);
  assert.deepEqual(fields, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'vouchsafe.dev/webhook',
    reportingInstance: 'pod-1',
    action: 'Inject',
    regarding: { ...occurrence().regarding, namespace: 'shop' },
    type: 'Normal',
    reason: 'Injected',
    note: 'The pod requests injection.',
  });
});

test('two hundred pods of one owner are one Event with a count', async (t) => {
  const { recorder, clock, events, cluster } = begin(t);
  recorder.record(occurrence());
  await clock.advance(0);
  for (let index = 0; index < 199; index += 1) recorder.record(occurrence());
  await clock.advance(90_000);
  assert.equal(events().length, 1);
  assert.deepEqual(events()[0]?.['series'], {
    count: 200,
    lastObservedTime: '2026-01-01T00:00:00.000000Z',
  });
  assert.equal(cluster.requests.length, 2);
});

test('after ten quiet minutes a repetition is a new Event', async (t) => {
  const { recorder, clock, events } = begin(t);
  recorder.record(occurrence());
  await clock.advance(11 * 60_000);
  recorder.record(occurrence());
  await clock.advance(0);
  assert.equal(events().length, 2);
});

test('one object cannot flood a namespace: Events above the limit are dropped and counted', async (t) => {
  const { recorder, clock, events, metrics } = begin(t);
  for (let index = 0; index < 50; index += 1) recorder.record(occurrence('web-1', `note ${index}`));
  recorder.record(occurrence('web-2'));
  await clock.advance(1000);
  assert.equal(events().length, 11);
  assert.match(await metrics.expose(), /vouchsafe_events_total{outcome="dropped"} 40/);
});

const inNamespace = (namespace: string, name: string): EventDetails => ({
  ...occurrence(name),
  namespace,
});

const written = ({ cluster }: World, namespace: string): number =>
  cluster.list(`/apis/events.k8s.io/v1/namespaces/${namespace}/events`).length;

test('many objects of a namespace at once: its limit holds, and recovers with time', async (t) => {
  const world = begin(t);
  const { recorder, clock, events, metrics } = world;
  for (let index = 0; index < 600; index += 1) recorder.record(occurrence(`web-${index}`));
  await clock.advance(100_000);
  assert.equal(events().length, 30);
  assert.match(await metrics.expose(), /vouchsafe_events_total{outcome="dropped"} 570/);
  for (let index = 600; index < 700; index += 1) recorder.record(occurrence(`web-${index}`));
  await clock.advance(100_000);
  assert.equal(events().length, 40);
});

test('a namespace with too many Events does not affect another', async (t) => {
  const world = begin(t);
  for (let index = 0; index < 5000; index += 1) {
    world.recorder.record(inNamespace('noisy', `n-${index}`));
  }
  for (let index = 0; index < 5; index += 1) {
    world.recorder.record(inNamespace('quiet', `q-${index}`));
  }
  await world.clock.advance(1000);
  assert.equal(written(world, 'quiet'), 5);
});

test('many namespaces with too many Events leave a quiet one its turn', async (t) => {
  const world = begin(t);
  const noisy = Array.from({ length: 40 }, (_, index) => `noisy-${index}`);
  for (const namespace of noisy) {
    for (let index = 0; index < 30; index += 1) {
      world.recorder.record(inNamespace(namespace, `n-${index}`));
    }
  }
  world.recorder.record(inNamespace('quiet', 'q'));
  // One turn of each: 50 at once, and five a second.
  await world.clock.advance(1000);
  assert.equal(written(world, 'quiet'), 1);
  await world.clock.advance(100_000);
  const total = noisy.reduce((sum, namespace) => sum + written(world, namespace), 0);
  assert.equal(total, 499);
});

test('an object with too many Events leaves some for its namespace', async (t) => {
  const { recorder, clock, events } = begin(t);
  for (let index = 0; index < 500; index += 1) recorder.record(occurrence('web', `note ${index}`));
  for (let index = 0; index < 20; index += 1) recorder.record(occurrence(`web-${index}`));
  await clock.advance(1000);
  assert.equal(events().length, 30);
});

test('made-up names of namespaces take bounded memory, and no further requests', async (t) => {
  const { recorder, clock, cluster } = begin(t);
  for (let index = 0; index < 30_000; index += 1) {
    recorder.record(inNamespace(`n-${index}`, 'web'));
  }
  await clock.advance(60_000);
  assert.ok(cluster.requests.length <= 500, String(cluster.requests.length));
});

test('rejected or not answered: counted, logged once, and not retried', async (t) => {
  const { recorder, clock, events, cluster, logger, metrics } = begin(t);
  cluster.refusals.set('POST', 403);
  for (let index = 0; index < 3; index += 1) recorder.record(occurrence(`web-${index}`));
  await clock.advance(1000);
  assert.equal(logger.lines.length, 1);
  assert.match(await metrics.expose(), /vouchsafe_events_total{outcome="failed"} 3/);
  cluster.refusals.clear();
  recorder.record(occurrence('web-0'));
  await clock.advance(0);
  assert.equal(events().length, 1);
});

for (const name of ['../secrets', 'a/b', '', 'A', 'a'.repeat(300)]) {
  test(`an invalid name makes no request: "${name.slice(0, 12)}"`, async (t) => {
    const { recorder, clock, cluster } = begin(t);
    recorder.record(occurrence(name));
    recorder.record({ ...occurrence(), namespace: name });
    await clock.advance(1000);
    assert.deepEqual(cluster.requests, []);
  });
}

test('a long note is cut', async (t) => {
  const { recorder, clock, events } = begin(t);
  recorder.record(occurrence('web', 'x'.repeat(5000)));
  await clock.advance(0);
  assert.equal(String(events()[0]?.['note']).length, 1024);
});
