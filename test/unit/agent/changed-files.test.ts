import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestsOf, changedPaths } from '../../../src/agent/changed-files.ts';

/** Digests of files, given as path and text. */
const of = (texts: Readonly<Record<string, string>>): ReadonlyMap<string, string> =>
  digestsOf(
    Object.entries(texts).map(([path, text]) => ({
      path,
      mode: 0o400,
      content: Buffer.from(text),
    })),
  );

for (const [name, now, before, changed, news] of [
  ['other bytes', { a: '2', b: '1' }, { a: '1', b: '1' }, ['a'], ['a']],
  ['a lost file written again', { a: '1' }, { a: '1' }, ['a'], []],
  ['swapped in by a write that failed after it', { a: '2' }, { a: '1' }, [], ['a']],
  ['a file that nothing is known of, changed', { a: '1' }, {}, ['a'], ['a']],
  ['a file that nothing is known of, the same', { a: '1' }, {}, [], []],
  ['a file that is no longer one of the set', {}, { a: '1' }, ['a'], ['a']],
  ["somebody else's file that was removed", { a: '1' }, { a: '1' }, ['other'], []],
] as const) {
  test(`${name}: ${news.length === 0 ? 'no news' : 'news'}`, () => {
    assert.deepEqual(changedPaths(of(now), { before: of(before), changed }), news);
  });
}
