import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareNumbers, NumberText, parseExactJson } from '../../../src/core/index.ts';
import { cpuMs } from '../../helpers/cpu-time.ts';
import { liveBytes } from '../../helpers/live-heap.ts';

const MIB = 2 ** 20;

test('numbers are looked for in linear time', () => {
  for (const text of [
    `["${',1'.repeat(MIB / 2)}"]`,
    `[",${'1'.repeat(MIB)}"]`,
    `[",1.${'1'.repeat(MIB)}"]`,
    `[",1.1e${'1'.repeat(MIB)}"]`,
    `["${' '.repeat(MIB)}"]`,
    `[${'9'.repeat(MIB)}]`,
  ]) {
    assert.ok(cpuMs(() => parseExactJson(text)) < 1000, text.slice(0, 10));
  }
});

test('numbers are compared in linear time', () => {
  const long = new NumberText(`1${'0'.repeat(MIB)}1`);
  assert.ok(cpuMs(() => compareNumbers(long, new NumberText('1.10'))) < 1000);
});

test('a number does not keep its document in memory', () => {
  const before = liveBytes();
  const kept: unknown[] = [];
  for (let count = 0; count < 10; count += 1) {
    const [number] = parseExactJson(`[12345678901234567890,"${'x'.repeat(MIB)}"]`) as unknown[];
    kept.push(number);
  }
  // The last one is, by the last match of a regular expression.
  assert.ok(liveBytes() - before < 3 * MIB);
  assert.equal(kept.length, 10);
});
