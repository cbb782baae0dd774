import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueBounds } from '../../../src/async/index.ts';
import { nextEventLoopTurn } from '../../../src/platform/index.ts';
import { ReviewQueue } from '../../../src/webhook/review-queue.ts';

interface Fixture {
  readonly turns: ReviewQueue;
  readonly clock: { ms: number };
  /** The items that ran, in order. */
  readonly done: string[];
  /** Queues an item; resolves to whether it ran. */
  readonly add: (owner: string, name?: string, size?: number) => Promise<boolean>;
}

function fixture(bounds: QueueBounds = {}): Fixture {
  const clock = { ms: 0, monotonicMs: () => clock.ms };
  const turns = new ReviewQueue({ bounds, maxWaitMs: 1000, clock, pause: nextEventLoopTurn });
  const done: string[] = [];
  const add: Fixture['add'] = async (owner, name = owner, size = 1) =>
    (await turns.run(owner, size, () => done.push(name))) !== undefined;
  return { turns, clock, done, add };
}

test('a single item runs at once', () => {
  const { turns, done } = fixture();
  void turns.run('a', 1, () => done.push('a'));
  assert.deepEqual(done, ['a']);
});

test('owners take turns, including one that comes late', async () => {
  const { done, add } = fixture();
  const first = [1, 2, 3, 4].map((index) => add('a', `a${index}`));
  await nextEventLoopTurn();
  const before = done.length;
  assert.ok(await add('b'));
  assert.ok(done.indexOf('b') <= before + 1, done.join());
  await Promise.all(first);
});

test('the event loop runs between two items', async () => {
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

test('an item without room is rejected at once, and so is one that is displaced', async () => {
  const { done, add } = fixture({ itemsOfOne: 2, sizeOfAll: 200 });
  const now = add('x');
  const own = [add('a', 'a1', 50), add('a', 'a2', 100), add('a', 'a3')];
  const other = add('b', 'b', 120);
  assert.deepEqual([await own[2], await own[1], done], [false, false, ['x']]);
  assert.deepEqual(await Promise.all([now, own[0], other]), [true, true, true]);
  assert.deepEqual(done, ['x', 'a1', 'b']);
});

test('an item that waited too long does not run', async () => {
  const { clock, done, turns, add } = fixture();
  const now = add('x', 'now');
  const slow = turns.run('a', 1, () => {
    clock.ms += 1001;
  });
  const late = add('b');
  assert.ok(await now);
  assert.ok(await slow);
  assert.equal(await late, false);
  assert.ok(await add('b', 'new'));
  assert.deepEqual(done, ['now', 'new']);
});

test('work that throws does not affect other items', async () => {
  const { turns, add } = fixture();
  const failing = turns.run('a', 1, () => {
    throw new Error('bad');
  });
  const next = add('a');
  await assert.rejects(failing, /bad/);
  assert.ok(await next);
});
