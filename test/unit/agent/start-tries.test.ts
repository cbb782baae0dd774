/** How the tries of a start are divided, against the kubelet's back-off. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lifeBetweenTriesMs, limitOfTry } from '../../../src/agent/start-tries.ts';

/** The kubelet waits none, 10 s, 20 s, 40 s …, and looks again up to half of that late. */
const BACK_OFFS_MS = [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000];
const RESTART_MS = 2000;

interface Played {
  readonly waits: readonly number[];
  readonly gaps: readonly number[];
  readonly endsAtMs: number;
}

/** Plays a start that never succeeds. `jitter` is from 0 to 0.5. */
function play(deadlineMs: number, jitter: number): Played {
  const waits: number[] = [];
  const gaps: number[] = [];
  let nowMs = 0;
  for (let count = 1; count <= BACK_OFFS_MS.length; count += 1) {
    const limit = limitOfTry({ beganAtMs: 0, count }, deadlineMs, nowMs);
    waits.push(limit.ms);
    nowMs += limit.ms;
    if (limit.isLast) return { waits, gaps, endsAtMs: nowMs };
    const gapMs = (BACK_OFFS_MS[count - 1] ?? 0) * (1 + jitter) + RESTART_MS;
    gaps.push(gapMs);
    nowMs += gapMs;
  }
  throw new Error('the start does not end');
}

test('the tries of the default deadline: some seconds, then 17 s, then until the deadline', () => {
  const { waits, gaps, endsAtMs } = play(120_000, 0);
  assert.deepEqual(waits, [8000, 17_000, 17_000, 42_000]);
  assert.deepEqual(gaps, [2000, 12_000, 22_000]);
  assert.equal(endsAtMs, 120_000);
});

test('a deadline that leaves no time for another try is not divided', () => {
  for (const deadlineMs of [1000, 5000, 8000, 13_000]) {
    assert.deepEqual(play(deadlineMs, 0).waits, [deadlineMs]);
  }
  assert.deepEqual(play(30_000, 0).waits, [8000, 20_000]);
  assert.deepEqual(play(60_000, 0).waits, [8000, 17_000, 21_000]);
});

test('up to two minutes the agent is never away for more than 32 s, and the deadline ends the start', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 120_000 }),
      fc.double({ min: 0, max: 0.5, noNaN: true }),
      (deadlineMs, jitter) => {
        const { waits, gaps, endsAtMs } = play(deadlineMs, jitter);
        assert.ok(Math.max(0, ...gaps) <= 32_000, gaps.join());
        assert.ok(Math.max(...waits) <= 45_000, waits.join());
        assert.ok(endsAtMs >= deadlineMs && endsAtMs <= deadlineMs + 20_000, `${endsAtMs}`);
      },
    ),
  );
});

test('a try that begins after the deadline is the last one, and is not in vain', () => {
  const tries = { beganAtMs: 1000, count: 3 };
  assert.deepEqual(limitOfTry(tries, 120_000, 500_000), { ms: 8000, isLast: true });
  assert.deepEqual(limitOfTry(tries, 3000, 500_000), { ms: 3000, isLast: true });
});

test('a token lives longer than the back-off, and not much longer', () => {
  const lives = BACK_OFFS_MS.map((_, index) =>
    lifeBetweenTriesMs({ beganAtMs: 0, count: index + 1 }),
  );
  assert.deepEqual(lives, [30_000, 45_000, 60_000, 90_000, 150_000, 270_000, 480_000, 480_000]);
});
