import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueBounds } from '../../../src/async/index.ts';
import { nextEventLoopTurn } from '../../../src/platform/index.ts';
import { ReviewQueue } from '../../../src/webhook/review-queue.ts';

interface Fixture {
  readonly turns: ReviewQueue;
  readonly clock: { ms: number };
  /** What was done, in order. */
  readonly done: string[];
  /** Waits for its turn; resolves to whether it was done. */
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

test('what comes alone is done at once', () => {
  const { turns, done } = fixture();
  void turns.run('a', 1, () => done.push('a'));
  assert.deepEqual(done, ['a']);
});

test('owners take turns, also with who comes when others are being served', async () => {
  const { done, add } = fixture();
  const first = [1, 2, 3, 4].map((index) => add('a', `a${index}`));
  await nextEventLoopTurn();
  const before = done.length;
  assert.ok(await add('b'));
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

test('who has no place is told at once, and so is who gives way', async () => {
  const { done, add } = fixture({ itemsOfOne: 2, sizeOfAll: 200 });
  const now = add('x');
  const own = [add('a', 'a1', 50), add('a', 'a2', 100), add('a', 'a3')];
  const other = add('b', 'b', 120);
  assert.deepEqual([await own[2], await own[1], done], [false, false, ['x']]);
  assert.deepEqual(await Promise.all([now, own[0], other]), [true, true, true]);
  assert.deepEqual(done, ['x', 'a1', 'b']);
});

test('what waited for too long is not done any more', async () => {
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

test('work that throws fails alone', async () => {
  const { turns, add } = fixture();
  const failing = turns.run('a', 1, () => {
    throw new Error('bad');
  });
  const next = add('a');
  await assert.rejects(failing, /bad/);
  assert.ok(await next);
});
