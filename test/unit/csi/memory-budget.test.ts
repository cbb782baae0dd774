import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemoryBudget, type FileOwner } from '../../../src/csi/memory-budget.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE = 4 * KIB;
const done = (): Promise<string> => Promise.resolve('written');
const FULL = { code: 'ERR_OUTPUT_FULL' };

/** A volume of a namespace. */
function volume(namespace: string): FileOwner {
  return { namespace };
}

/** One file of a size. */
function file(bytes: number): readonly { readonly content: { readonly byteLength: number } }[] {
  return [{ content: { byteLength: bytes } }];
}

/** A usual driver: 197 MiB in all, 82 of them reserved; 38 and 27 for a namespace. */
function usual(): MemoryBudget {
  return new MemoryBudget(592 * MIB);
}

test('one namespace uses all it can: another that needs 22 bytes is served, and so is one that needs its third', async () => {
  const budget = usual();
  for (let count = 0; count < 3; count += 1) {
    await budget.within(volume('greedy'), file(28 * MIB), done).catch(() => undefined);
  }
  for (const bytes of [16 * MIB, 4 * MIB, MIB, 64 * KIB, 4 * KIB]) {
    let error: unknown;
    while (error === undefined) {
      await budget
        .within(volume('greedy'), file(bytes), done)
        .catch((caught: unknown) => (error = caught));
    }
    assert.equal((error as { code: string }).code, FULL.code);
  }
  const greedy = budget.holders.get('greedy') ?? 0;
  assert.ok(greedy <= budget.budgetBytes / 3, `${greedy} bytes`);
  assert.ok(greedy > budget.budgetBytes / 3 - MIB, 'it does have its share');
  assert.equal(await budget.within(volume('victim'), file(22), done), 'written');
  await budget.within(volume('other'), file(19 * MIB), done);
});

test('no namespace has more than a third of all, by one volume or by many', async () => {
  const budget = usual();
  await assert.rejects(budget.within(volume('one'), file(29 * MIB), done), {
    ...FULL,
    message: /197 MiB.*of one namespace 65 MiB.*csi\.resources/,
  });
  await budget.within(volume('one'), file(19 * MIB), done);
  await assert.rejects(budget.within(volume('one'), file(MIB), done), FULL);
  await budget.within(volume('one'), file(256 * KIB), done);
});

test('each volume has its first 256 KiB from a reserve that large volumes of others cannot use up', async () => {
  const budget = usual();
  for (const namespace of ['a', 'b', 'c']) {
    await budget.within(volume(namespace), file(19 * MIB), done);
    await assert.rejects(budget.within(volume(namespace), file(MIB), done), FULL);
  }
  // The pool is used up to the last two thirds of a MiB.
  const few = Array.from({ length: 36 }, () => volume('d'));
  for (const one of few) await budget.within(one, file(256 * KIB), done);
  for (const namespace of ['a', 'b', 'c']) {
    await budget.within(volume(namespace), file(256 * KIB), done);
  }
});

test('a namespace with more volumes than its part of the reserve holds takes the others from its third of the pool', async () => {
  const budget = usual();
  for (let count = 0; count < 100; count += 1) {
    await budget.within(volume('many'), file(256 * KIB), done);
  }
  await budget.within(volume('other'), file(256 * KIB), done);
});

test('the bound is by pages, twice, before anything is written', async () => {
  const budget = new MemoryBudget(3 * 18 * PAGE); // 9 pages reserved, 9 in the pool: 6 for a namespace
  assert.equal(budget.shareBytes, 6 * PAGE);
  await budget.within(volume('one'), [...file(1), ...file(PAGE)], done);
  let isWritten = false;
  const write = (): Promise<void> => {
    isWritten = true;
    return Promise.resolve();
  };
  await assert.rejects(budget.within(volume('one'), file(PAGE + 1), write), FULL);
  assert.ok(!isWritten);
  await budget.within(volume('one'), file(PAGE), done);
});

test('a full namespace: files of the same size are written again, smaller ones make room, larger ones do not fit', async () => {
  const budget = new MemoryBudget(3 * 18 * PAGE);
  const [one, other] = [volume('shop'), volume('shop')];
  await budget.within(one, file(3 * PAGE), done);
  await budget.within(one, file(3 * PAGE), done);
  await assert.rejects(budget.within(one, file(4 * PAGE), done), FULL);
  await assert.rejects(budget.within(other, file(PAGE), done), FULL);
  await budget.within(one, file(2 * PAGE), done);
  await budget.within(other, file(PAGE), done);
});

test('a failed write takes no memory; a removed volume releases all, including that of a late write', async () => {
  const budget = new MemoryBudget(3 * 18 * PAGE);
  const [one, other] = [volume('shop'), volume('shop')];
  const failing = budget.within(one, file(3 * PAGE), () => Promise.reject(new Error('no')));
  await assert.rejects(failing, /no/);
  const late = Promise.withResolvers<undefined>();
  const writing = budget.within(one, file(3 * PAGE), () => late.promise);
  budget.releaseFiles(one);
  late.resolve(undefined);
  await writing;
  await budget.within(other, file(3 * PAGE), done);
  budget.releaseFiles(other);
  assert.deepEqual([...budget.holders], []);
});

test('record and values of a volume count until nothing is left of it', async () => {
  const budget = new MemoryBudget(3 * 18 * PAGE);
  const one = volume('shop');
  budget.reserveRecord(one, PAGE);
  await budget.within(one, file(2 * PAGE), done);
  await assert.rejects(budget.within(one, file(3 * PAGE), done), FULL);
  const late = Promise.withResolvers<undefined>();
  const writing = budget.within(one, file(2 * PAGE), () => late.promise);
  budget.releaseFiles(one);
  late.resolve(undefined);
  await writing;
  assert.deepEqual([...budget.holders], [['shop', 2 * PAGE]]);
  assert.throws(() => budget.reserveRecord(volume('shop'), 3 * PAGE), FULL);
  budget.forget(one);
  assert.deepEqual([...budget.holders], []);
  budget.reserveRecord(volume('shop'), 3 * PAGE);
});

test('files of a predecessor count, although they are more than a share', async () => {
  const budget = new MemoryBudget(3 * 18 * PAGE);
  const one = volume('shop');
  budget.adopt(one, { files: 4 * PAGE });
  assert.deepEqual([...budget.holders], [['shop', 8 * PAGE]]);
  await budget.within(one, file(4 * PAGE), done);
  await assert.rejects(budget.within(volume('shop'), file(PAGE), done), FULL);
  await budget.within(volume('other'), file(PAGE), done);
  budget.releaseFiles(one);
  await budget.within(volume('shop'), file(3 * PAGE), done);
});

test('property: whatever is written, no namespace is over a third, all together are within the budget, and all is given back', async () => {
  const step = fc.record({
    index: fc.nat(11),
    bytes: fc.oneof(fc.nat(8 * KIB), fc.nat(MIB), fc.nat(20 * MIB)),
    what: fc.constantFrom('write', 'write', 'fail', 'free'),
  });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 16, max: 1024 }), fc.array(step), async (limit, steps) => {
      const budget = new MemoryBudget(limit * MIB);
      const volumes = Array.from({ length: 12 }, (_, index) => volume(`ns-${index % 4}`));
      for (const { index, bytes, what } of steps) {
        const one = volumes[index] ?? volume('');
        const write = what === 'fail' ? () => Promise.reject(new Error('no')) : done;
        if (what === 'free') budget.releaseFiles(one);
        else await budget.within(one, file(bytes), write).catch(() => undefined);
        const held = [...budget.holders.values()];
        assert.ok(held.every((share) => share > 0 && share <= budget.budgetBytes / 3));
        assert.ok(held.reduce((sum, share) => sum + share, 0) <= budget.budgetBytes);
      }
      for (const one of volumes) budget.releaseFiles(one);
      assert.deepEqual([...budget.holders], []);
    }),
  );
});
