import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, MAX_DURATION_MS, parseDuration } from '../../../src/core/index.ts';

for (const [text, ms] of [
  ['0', 0],
  ['0s', 0],
  ['90', 90_000],
  ['90s', 90_000],
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['250ms', 250],
  ['2d', 172_800_000],
  ['1d2h3m4s5ms', 93_784_005],
  ['1.5h', 5_400_000],
  ['1.005s', 1005],
  ['  5m ', 300_000],
  ['365d', MAX_DURATION_MS],
] as const) {
  test(`${JSON.stringify(text)} is ${ms} ms`, () => {
    assert.equal(parseDuration(text), ms);
  });
}

for (const text of [
  '',
  ' ',
  's',
  '-5m',
  '+5m',
  '5 m',
  '5M',
  '5x',
  '5m3',
  '.5s',
  '1.s',
  '1e3s',
  '1,5h',
  '0x10',
  'Infinity',
  '٥m',
  '366d',
  '365d1ms',
  '9999999999',
  '1234567890s',
]) {
  test(`${JSON.stringify(text)} is not a valid duration`, () => {
    assert.equal(parseDuration(text), undefined);
  });
}

test('every number of milliseconds survives printing and reading', () => {
  const ms = fc.integer({ min: 0, max: MAX_DURATION_MS });
  fc.assert(fc.property(ms, (value) => parseDuration(formatDuration(value)) === value));
});

test('whatever is read is a whole, bounded number of milliseconds', () => {
  const amount = fc.double({ min: 0, max: 99_999, noNaN: true }).map((value) => value.toFixed(3));
  const part = fc
    .tuple(amount, fc.constantFrom('ms', 's', 'm', 'h', 'd'))
    .map((pair) => pair.join(''));
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
      const ms = parseDuration(parts.join(''));
      assert.ok(ms === undefined || (Number.isInteger(ms) && ms >= 0 && ms <= MAX_DURATION_MS));
    }),
  );
});

test('durations are printed in largest units', () => {
  for (const [ms, text] of [
    [0, '0s'],
    [-5, '0s'],
    [0.4, '0s'],
    [999.6, '1s'],
    [90_000, '1m30s'],
    [86_400_001, '1d1ms'],
  ] as const) {
    assert.equal(formatDuration(ms), text);
  }
});
