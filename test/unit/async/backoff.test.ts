import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createBackoff } from '../../../src/async/index.ts';

const LEAST = { next: (): number => 0 };
const MOST = { next: (): number => 1 - Number.EPSILON };

function waits(count: number, random: { next(): number }): number[] {
  const backoff = createBackoff({ minMs: 1000, maxMs: 10_000, random });
  return Array.from({ length: count }, () => Math.round(backoff.nextMs()));
}

test('waits double from the floor to the cap, each spread over half of its step', () => {
  assert.deepEqual(waits(6, LEAST), [1000, 2000, 4000, 5000, 5000, 5000]);
  assert.deepEqual(waits(6, MOST), [2000, 4000, 8000, 10_000, 10_000, 10_000]);
});

test('no wait leaves its bounds, and a reset starts over', () => {
  const options = fc.record({
    minMs: fc.integer({ min: 1, max: 10_000 }),
    moreMs: fc.integer({ min: 0, max: 100_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    chances: fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
      minLength: 1,
      maxLength: 30,
    }),
  });
  fc.assert(
    fc.property(options, ({ minMs, moreMs, factor, chances }) => {
      let turn = 0;
      const random = { next: (): number => chances[turn % chances.length] ?? 0 };
      const maxMs = minMs + moreMs;
      const backoff = createBackoff({ minMs, maxMs, factor, random });
      const first = backoff.nextMs();
      for (turn = 0; turn < chances.length; turn += 1) {
        const wait = backoff.nextMs();
        assert.ok(wait >= minMs && wait <= maxMs);
      }
      backoff.reset();
      turn = 0;
      assert.equal(backoff.nextMs(), first);
    }),
  );
});

test('a fleet spreads itself from the first wait on', () => {
  const chances = Array.from({ length: 100 }, (_, index) => index / 100);
  const firsts = chances.map((chance) => waits(1, { next: () => chance })[0]);
  assert.equal(new Set(firsts).size, 100);
});

test('Retry-After wins over a shorter wait, and is spread, never shortened', () => {
  for (const [random, expected] of [
    [LEAST, 60_000],
    [MOST, 75_000],
  ] as const) {
    const backoff = createBackoff({ minMs: 1000, maxMs: 10_000, random });
    assert.equal(Math.round(backoff.nextMs(60_000)), expected);
  }
  assert.equal(createBackoff({ minMs: 1000, maxMs: 2000, random: LEAST }).nextMs(10), 1000);
});

for (const [what, bounds] of [
  ['a floor of zero', { minMs: 0, maxMs: 1 }],
  ['a negative floor', { minMs: -1, maxMs: 1 }],
  ['a cap below the floor', { minMs: 2, maxMs: 1 }],
  ['no cap', { minMs: 1, maxMs: Infinity }],
  ['a floor that is no number', { minMs: Number.NaN, maxMs: 1 }],
  ['a cap that is no number', { minMs: 1, maxMs: Number.NaN }],
  ['a shrinking factor', { minMs: 1, maxMs: 2, factor: 0.5 }],
  ['a factor that is no number', { minMs: 1, maxMs: 2, factor: Number.NaN }],
] as const) {
  test(`${what} is rejected`, () => {
    assert.throws(() => createBackoff({ ...bounds, random: LEAST }), TypeError);
  });
}
