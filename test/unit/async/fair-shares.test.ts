import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairShares } from '../../../src/async/index.ts';
import { settle } from '../../helpers/fake-clock.ts';

const ALWAYS = new AbortController().signal;

/** Operations of owners, in the order of their turns; each ends when the test says so. */
class Work {
  readonly begun: string[] = [];
  readonly #ends: (() => void)[] = [];

  run(shares: FairShares, owner: string, signal = ALWAYS): Promise<void> {
    return shares.run(owner, signal, async () => {
      this.begun.push(owner);
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#ends.push(() => resolve(undefined));
      await promise;
    });
  }

  /** Ends the operation that had the `index`-th turn. */
  async end(index: number): Promise<void> {
    this.#ends[index]?.();
    await settle();
  }

  /** Ends everything, what begins meanwhile included. */
  async endAll(): Promise<void> {
    await settle();
    for (let index = 0; index < this.#ends.length; index += 1) await this.end(index);
  }
}

test('an owner has a third at most, however many are free, and at least one', () => {
  for (const [total, share] of [
    [1, 1],
    [2, 1],
    [8, 2],
    [9, 3],
    [256, 85],
  ] as const) {
    const shares = new FairShares(total);
    assert.equal(shares.share, share);
    let taken = 0;
    while (shares.tryTake('one')) taken += 1;
    assert.equal(taken, share);
  }
});

test('a share of another size is kept as a third is', () => {
  const shares = new FairShares(4, 3);
  assert.deepEqual([shares.tryTake('one', 4), shares.tryTake('one', 3)], [false, true]);
  assert.deepEqual([shares.available('one'), shares.available('other')], [0, 1]);
});

test('units are taken all together or not at all', () => {
  const shares = new FairShares(30);
  assert.ok(!shares.tryTake('one', 11));
  assert.equal(shares.held('one'), 0);
  assert.ok(shares.tryTake('one', 7));
  assert.equal(shares.available('one'), 3);
  shares.giveBack('one', 4);
  assert.ok(shares.tryTake('one', 7));
  assert.deepEqual([...shares.holders], [['one', 10]]);
  shares.giveBack('one', 10);
  assert.deepEqual([...shares.holders], []);
});

test('what a predecessor left counts, although it is more than a share; nothing is given to its owner before it is less', () => {
  const shares = new FairShares(9);
  shares.hold('one', 5);
  assert.ok(!shares.tryTake('one'));
  assert.ok(shares.tryTake('other', 3));
  shares.giveBack('one', 2);
  assert.ok(!shares.tryTake('one'));
  shares.giveBack('one');
  assert.ok(shares.tryTake('one'));
});

test('giving back more than was taken is a bug', () => {
  const shares = new FairShares(9);
  assert.throws(() => shares.giveBack('one'), RangeError);
  assert.throws(() => new FairShares(0), TypeError);
  assert.throws(() => new FairShares(1.5), TypeError);
  assert.throws(() => new FairShares(Infinity), TypeError);
  assert.throws(() => new FairShares(9, 0), TypeError);
});

test('a crowd of one owner does not hold up the first of another', async () => {
  const shares = new FairShares(9);
  const work = new Work();
  const crowd = Array.from({ length: 100 }, () => work.run(shares, 'crowd'));
  const victim = work.run(shares, 'victim');
  await settle();
  assert.deepEqual(work.begun, ['crowd', 'crowd', 'crowd', 'victim']);
  await work.endAll();
  await Promise.all([...crowd, victim]);
  assert.equal(work.begun.length, 101);
});

test('if all units are taken, the waiting owner that holds the fewest is next, in any order of arrival', async () => {
  const shares = new FairShares(3);
  const work = new Work();
  const done = ['a', 'b', 'c', 'a', 'a', 'd'].map((owner) => work.run(shares, owner));
  await settle();
  assert.deepEqual(work.begun, ['a', 'b', 'c']);
  await work.end(1);
  assert.deepEqual(work.begun, ['a', 'b', 'c', 'd'], 'a has one already');
  await work.endAll();
  await Promise.all(done);
  assert.deepEqual(work.begun.slice(4), ['a', 'a']);
});

test('of owners that hold as many each has its turn: none starves behind the queue of another', async () => {
  const shares = new FairShares(1);
  const work = new Work();
  const done = ['a', 'a', 'a', 'a', 'b', 'b', 'c'].map((owner) => work.run(shares, owner));
  await work.endAll();
  await Promise.all(done);
  assert.deepEqual(work.begun, ['a', 'a', 'b', 'c', 'a', 'b', 'a']);
});

test('a caller that is aborted while it waits leaves the queue; one whose turn has just come gives its unit back', async () => {
  const shares = new FairShares(3);
  const work = new Work();
  const first = work.run(shares, 'one');
  const stop = new AbortController();
  const reason = new Error('stop');
  const aborted = [work.run(shares, 'one', stop.signal), work.run(shares, 'one', stop.signal)];
  const last = work.run(shares, 'one');
  await settle();
  const ended = work.end(0);
  stop.abort(reason); // in the moment of its turn, for the first of them
  for (const one of aborted) await assert.rejects(one, (error) => error === reason);
  await ended;
  await settle();
  assert.deepEqual(work.begun, ['one', 'one']);
  await work.endAll();
  await Promise.all([first, last]);
  assert.deepEqual([...shares.holders], []);
  await assert.rejects(
    shares.run('one', AbortSignal.abort(reason), () => assert.fail('it ran')),
    (error) => error === reason,
  );
});

test('an operation that fails gives its unit back', async () => {
  const shares = new FairShares(1);
  const failure = new Error('failure');
  await assert.rejects(
    shares.run('one', ALWAYS, () => Promise.reject(failure)),
    (error) => error === failure,
  );
  assert.equal(await shares.run('one', ALWAYS, () => Promise.resolve('free')), 'free');
});

test('property: never over a third, never over the total, nobody waits for what it may have, all is given back', async () => {
  const step = fc.record({
    owner: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    what: fc.constantFrom('begin', 'begin', 'begin', 'end', 'abort'),
    pick: fc.nat(1000),
  });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.array(step), async (total, steps) => {
      const shares = new FairShares(total);
      const running: { readonly owner: string; readonly end: () => void }[] = [];
      const waiting = new Set<{ readonly owner: string; readonly stop: AbortController }>();
      const all: Promise<unknown>[] = [];
      const check = (): void => {
        const held = [...shares.holders.values()];
        assert.ok(held.every((units) => units >= 1 && units <= Math.max(1, total / 3)));
        assert.equal(
          held.reduce((sum, units) => sum + units, 0),
          running.length,
        );
        assert.ok(running.length <= total);
        for (const { owner } of waiting) assert.equal(shares.available(owner), 0, owner);
      };
      for (const { owner, what, pick } of steps) {
        if (what === 'begin') {
          const entry = { owner, stop: new AbortController() };
          waiting.add(entry);
          const work = shares.run(owner, entry.stop.signal, async () => {
            waiting.delete(entry);
            const { promise, resolve } = Promise.withResolvers<undefined>();
            const run = { owner, end: () => resolve(undefined) };
            running.push(run);
            await promise;
            running.splice(running.indexOf(run), 1);
          });
          all.push(work.catch(() => waiting.delete(entry)));
        } else if (what === 'end') running[pick % running.length]?.end();
        else [...waiting][pick % waiting.size]?.stop.abort();
        await settle();
        check();
      }
      while (running.length > 0) {
        running[0]?.end();
        await settle();
        check();
      }
      await Promise.all(all);
      assert.deepEqual([waiting.size, shares.holders.size], [0, 0]);
    }),
  );
});
