import assert from 'node:assert/strict';
import { test } from 'node:test';
import { otherWorkDone } from '../../../src/platform/index.ts';
import { FairQueue, type QueueBounds } from '../../../src/server/fair-queue.ts';

const BOUNDS: QueueBounds = { pieces: 4, size: 100, totalSize: 200, waitMs: 1000 };

interface Fixture {
  readonly queue: FairQueue;
  readonly clock: { ms: number };
  /** What was done, in order. */
  readonly done: string[];
  /** Waits in the queue; resolves to whether it was done. */
  readonly add: (party: string, name?: string, size?: number) => Promise<boolean>;
}

function fixture(bounds: Partial<QueueBounds> = {}): Fixture {
  const clock = { ms: 0, monotonicMs: () => clock.ms };
  const queue = new FairQueue({ bounds: { ...BOUNDS, ...bounds }, clock, pause: otherWorkDone });
  const done: string[] = [];
  const add: Fixture['add'] = async (party, name = party, size = 1) =>
    (await queue.do(party, size, () => done.push(name))) !== undefined;
  return { queue, clock, done, add };
}

test('what comes alone is done at once', () => {
  const { queue, done } = fixture();
  void queue.do('a', 1, () => done.push('a'));
  assert.deepEqual(done, ['a']);
});

test('parties take turns, each in its own order', async () => {
  const { done, add } = fixture();
  const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1'].map((name) => add(name.slice(0, 1), name));
  assert.deepEqual(await Promise.all(all), Array<boolean>(7).fill(true));
  assert.deepEqual(done, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
});

test('who comes later waits for one piece of each other party at most', async () => {
  const { done, add } = fixture();
  const first = [1, 2, 3, 4].map((index) => add('a', `a${index}`));
  await otherWorkDone();
  const late = add('b');
  const before = done.length;
  assert.ok(await late);
  assert.ok(done.indexOf('b') <= before + 1, done.join());
  await Promise.all(first);
});

test('between two pieces everything else gets its turn', async () => {
  const { add } = fixture();
  let served = 0;
  const tick = (): void => {
    served += 1;
    if (served < 100) setImmediate(tick);
  };
  setImmediate(tick);
  await Promise.all([add('a'), add('a'), add('a'), add('a')]);
  assert.ok(served >= 3);
});

test('a party whose share of the queue is full is turned away, and nobody else', async () => {
  const { done, add } = fixture();
  const own = [1, 2, 3, 4, 5, 6, 7].map((index) => add('a', `a${index}`));
  const other = add('b');
  assert.deepEqual(await Promise.all(own), [true, true, true, true, true, false, false]);
  assert.ok(await other);
  assert.equal(done.length, 6);
});

test('sizes count: one large piece may wait, a second one may not', async () => {
  const { add } = fixture();
  const own = [add('a'), add('a', 'large', 150), add('a', 'more', 1)];
  assert.deepEqual(await Promise.all(own), [true, true, false]);
});

test('where all together is too much, the party that holds most gives way', async () => {
  const { done, add } = fixture({ totalSize: 250 });
  const now = add('x');
  const [a, b] = [add('a', 'a', 150), add('b', 'b', 90)];
  const c = add('c', 'c', 50);
  assert.deepEqual(await Promise.all([now, a, b, c]), [true, false, true, true]);
  assert.deepEqual(done, ['x', 'b', 'c']);
});

test('nobody gives way to one who would then hold as much', async () => {
  const { add } = fixture({ totalSize: 200 });
  const all = [add('x'), add('a', 'a', 100), add('b', 'b', 100), add('c', 'c', 100)];
  assert.deepEqual(await Promise.all(all), [true, true, true, false]);
});

test('what waited for too long is not done any more', async () => {
  const { clock, done, queue, add } = fixture();
  const now = add('x', 'now');
  const slow = queue.do('a', 1, () => {
    clock.ms += 1001;
  });
  const late = add('b');
  assert.ok(await now);
  assert.ok(await slow);
  assert.equal(await late, false);
  assert.ok(await add('b', 'new'));
  assert.deepEqual(done, ['now', 'new']);
});

test('work that throws fails alone', async () => {
  const { queue, add } = fixture();
  const failing = queue.do('a', 1, () => {
    throw new Error('bad');
  });
  const next = add('a');
  await assert.rejects(failing, /bad/);
  assert.ok(await next);
});

test('names of parties are names and nothing else', async () => {
  const { add } = fixture();
  assert.ok(await add('__proto__'));
  assert.ok(await add('constructor'));
});
