import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import { BodyBudget } from '../../../src/http/body-budget.ts';

test('the oldest share that waits for its peer is evicted', () => {
  const budget = new BodyBudget(100);
  const gone: string[] = [];
  const first = budget.open(() => gone.push('first'));
  const second = budget.open(() => gone.push('second'));
  const third = budget.open(() => gone.push('third'));
  assert.ok(first.resize(50) && second.resize(40) && third.resize(20));
  assert.deepEqual(gone, ['first']);
  assert.equal(first.resize(1), false);
  assert.equal(budget.bytes, 60);
});

test('a request that is being answered is never evicted; without another candidate the newest is', () => {
  const budget = new BodyBudget(100);
  const gone: string[] = [];
  const answered = budget.open(() => gone.push('answered'));
  assert.ok(answered.resize(90));
  answered.isWaiting = false;
  const late = budget.open(() => gone.push('late'));
  assert.equal(late.resize(20), false);
  assert.deepEqual(gone, []);
  answered.release();
  assert.equal(budget.bytes, 0);
  assert.ok(budget.open(() => undefined).resize(100));
});

test('a request takes its share before its body: the oldest is evicted, or else the newest at once', () => {
  const budget = new BodyBudget(100, 40);
  const gone: string[] = [];
  const first = budget.open(() => gone.push('first'));
  const second = budget.open(() => gone.push('second'));
  assert.equal(budget.bytes, 80);
  assert.ok(second.resize(10));
  second.isWaiting = false;
  const third = budget.open(() => gone.push('third'));
  assert.deepEqual(gone, ['first']);
  third.isWaiting = false;
  budget.open(() => gone.push('fourth'));
  assert.deepEqual(gone, ['first', 'fourth']);
  assert.equal(first.resize(0), false);
  for (const share of [second, third]) share.release();
  assert.equal(budget.bytes, 0);
});

test('property: never more than the bound, and nothing is left at the end', () => {
  const step = fc.record({ share: fc.nat(9), bytes: fc.nat(60), isWaiting: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const budget = new BodyBudget(100);
      const shares = Array.from({ length: 10 }, () => budget.open(() => undefined));
      for (const { share, bytes, isWaiting } of steps) {
        shares[share]!.isWaiting = isWaiting;
        shares[share]!.resize(bytes);
        assert.ok(budget.bytes <= 100 && budget.bytes >= 0);
      }
      for (const share of shares) share.release();
      assert.equal(budget.bytes, 0);
    }),
  );
});
