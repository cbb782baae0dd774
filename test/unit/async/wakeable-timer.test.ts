import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WakeableTimer } from '../../../src/async/index.ts';
import { FakeClock, settle } from '../../helpers/fake-clock.ts';

const ALWAYS = new AbortController().signal;

/** Waits, and reports when the wait was over. */
async function overAt(clock: FakeClock, timer: WakeableTimer, atMs: number): Promise<number> {
  await timer.waitUntil(atMs, ALWAYS);
  return clock.monotonicMs();
}

test('without a wake-up the wait ends when it is due', async () => {
  const clock = new FakeClock();
  const timer = new WakeableTimer(clock);
  const over = overAt(clock, timer, 5000);
  await clock.advance(10_000);
  assert.equal(await over, 5000);
  await timer.waitUntil(3000, ALWAYS);
  assert.equal(clock.sleeping, 0);
});

test('a wake-up ends the wait at once, and only that wait', async () => {
  const clock = new FakeClock();
  const timer = new WakeableTimer(clock);
  const first = overAt(clock, timer, 5000);
  await clock.advance(1000);
  timer.wake();
  timer.wake();
  assert.equal(await first, 1000);
  assert.equal(clock.sleeping, 0);
  const second = overAt(clock, timer, 5000);
  await clock.advance(10_000);
  assert.equal(await second, 5000);
});

test('a wake-up without a wait is kept for the next wait', async () => {
  const clock = new FakeClock();
  const timer = new WakeableTimer(clock);
  timer.wake();
  timer.wake();
  assert.equal(await overAt(clock, timer, 5000), 0);
  const next = overAt(clock, timer, 5000);
  await clock.advance(5000);
  assert.equal(await next, 5000);
});

test('an abort ends the wait with its reason, and does not lose a wake-up', async () => {
  const clock = new FakeClock();
  const timer = new WakeableTimer(clock);
  const reason = new Error('stop');
  const controller = new AbortController();
  const waiting = timer.waitUntil(5000, controller.signal);
  const aborted = assert.rejects(waiting, (error) => error === reason);
  await settle();
  timer.wake();
  controller.abort(reason);
  await aborted;
  assert.equal(clock.sleeping, 0);
  assert.equal(await overAt(clock, timer, 5000), 0);
  await assert.rejects(timer.waitUntil(0, controller.signal), (error) => error === reason);
});
