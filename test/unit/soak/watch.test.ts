import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growthOf, type Sample } from '../../soak/watch.ts';

/** An agent's memory second by second. */
function aged(pid: number, bornMs: number, rssMiB: readonly number[]): readonly Sample[] {
  return rssMiB.map((one, second) => ({
    pid,
    atMs: bornMs + second * 1000,
    rssMiB: one,
    descriptors: 20,
  }));
}

test('an agent that grows with its age is found', () => {
  const growing = Array.from({ length: 90 }, (_, second) => 50 + second);
  assert.deepEqual(growthOf(aged(1, 0, growing), 'rssMiB'), [64, 139]);
});

test('agents that start again are each compared with themselves', () => {
  const large = aged(1, 0, new Array<number>(90).fill(80));
  const small = aged(2, 90_000, new Array<number>(90).fill(50));
  assert.deepEqual(growthOf([...small, ...large], 'descriptors'), [20, 20]);
  const [settled, later] = growthOf([...large, ...small], 'rssMiB');
  assert.equal(settled, later);
});

test('an agent that did not live for a minute says nothing', () => {
  assert.deepEqual(growthOf(aged(1, 0, [50, 90, 120]), 'rssMiB'), [0, 0]);
});
