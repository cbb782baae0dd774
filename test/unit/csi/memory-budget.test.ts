import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../../../src/csi/memory-budget.ts';

const PAGE = 4096;
const [one, other] = [{}, {}];
const done = (): Promise<string> => Promise.resolve('written');

/** Files of so many pages. */
function pages(count: number): readonly { readonly content: Uint8Array }[] {
  return Array.from({ length: count }, () => ({ content: new Uint8Array(1) }));
}

/** A budget of so many pages for files, which count twice. */
function budgetOf(count: number): MemoryBudget {
  return new MemoryBudget(3 * 2 * count * PAGE);
}

test('files of all volumes together have a bound, page by page, before anything is written', async () => {
  const budget = budgetOf(3);
  assert.equal(await budget.within(one, pages(2), done), 'written');
  let isWritten = false;
  const write = (): Promise<void> => {
    isWritten = true;
    return Promise.resolve();
  };
  await assert.rejects(budget.within(other, pages(2), write), { code: 'ERR_OUTPUT_FULL' });
  assert.ok(!isWritten);
  await budget.within(other, pages(1), done);
});

test('a full node: files of the same size are written again, smaller ones make room, larger ones do not fit', async () => {
  const budget = budgetOf(2);
  await budget.within(one, pages(2), done);
  await budget.within(one, pages(2), done);
  await assert.rejects(budget.within(one, pages(3), done), { code: 'ERR_OUTPUT_FULL' });
  await budget.within(one, pages(1), done);
  await budget.within(other, pages(1), done);
});

test('a write that fails takes nothing; a volume that is gone gives all back, its late write included', async () => {
  const budget = budgetOf(2);
  const failing = budget.within(one, pages(2), () => Promise.reject(new Error('no')));
  await assert.rejects(failing, /no/);
  const late = Promise.withResolvers<undefined>();
  const writing = budget.within(one, pages(2), () => late.promise);
  budget.free(one);
  late.resolve(undefined);
  await writing;
  await budget.within(other, pages(2), done);
});

test('without a limit there is no bound', async () => {
  await new MemoryBudget(undefined).within(one, pages(10_000), done);
});
