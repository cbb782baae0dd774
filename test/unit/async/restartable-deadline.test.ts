import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEADLINE, RestartableDeadline } from '../../../src/async/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

test('aborts when the time is over, and not before', async () => {
  const clock = new FakeClock();
  const patience = new RestartableDeadline(clock);
  patience.start(1000);
  await clock.advance(999);
  assert.equal(patience.signal.aborted, false);
  await clock.advance(1);
  assert.equal(patience.signal.reason, DEADLINE);
  assert.equal(clock.sleeping, 0);
});

test('started again it has all of the new time, and none of the old', async () => {
  const clock = new FakeClock();
  const patience = new RestartableDeadline(clock);
  patience.start(1000);
  await clock.advance(900);
  patience.start(3000);
  assert.equal(patience.ms, 3000);
  await clock.advance(2999);
  assert.equal(patience.signal.aborted, false);
  await clock.advance(1);
  assert.equal(patience.signal.aborted, true);
});

test('ended it leaves no timer, and aborts no more', async () => {
  const clock = new FakeClock();
  const patience = new RestartableDeadline(clock);
  patience.start(1000);
  await clock.advance(500);
  patience.end();
  // What was sent late is reported late.
  patience.start(1000);
  await clock.advance(10_000);
  assert.equal(patience.signal.aborted, false);
  assert.equal(clock.sleeping, 0);
});

test('time in which the process did not run passes as one part, however long it was', async () => {
  const clock = new FakeClock();
  let looks = 0;
  // Each sleep ends ten seconds late, as on a machine that stood still.
  const late = {
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    async sleep(ms: number, signal: AbortSignal): Promise<void> {
      await clock.sleep(ms + 10_000, signal);
      looks += 1;
    },
  };
  const patience = new RestartableDeadline(late);
  patience.start(1000);
  await clock.advance(90_000);
  assert.equal(patience.signal.aborted, false);
  assert.ok(looks > 1);
  await clock.advance(11_000);
  assert.equal(patience.signal.aborted, true);
});
