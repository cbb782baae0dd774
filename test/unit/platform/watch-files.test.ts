/** Watching files as the kubelet and people change them. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { watchFiles } from '../../../src/platform/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

/** Watches until the test ends; each call of the function waits for one more change. */
function watching(t: TestContext, path: string): () => Promise<void> {
  const changes = watchFiles([path], AbortSignal.timeout(10_000));
  t.after(async () => {
    await changes.return(); // or the watch would outlive the test
  });
  return async () => {
    const { done } = await changes.next();
    assert.equal(done, false);
  };
}

test('the swap of a projected volume is seen', async (t) => {
  const directory = tempDirectory(t);
  for (const set of ['one', 'two', 'three']) {
    mkdirSync(join(directory, set));
    writeFileSync(join(directory, set, 'file'), set);
  }
  symlinkSync('one', join(directory, '..data'));
  symlinkSync('..data/file', join(directory, 'file'));
  const changed = watching(t, join(directory, 'file'));
  await changed();
  for (const set of ['two', 'three']) {
    const next = changed();
    await new Promise((resolve) => setTimeout(resolve, 200)); // the watch is set up meanwhile
    symlinkSync(set, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
    await next;
  }
});

test('a directory that is removed and made again is followed', async (t) => {
  const directory = join(tempDirectory(t), 'mounted');
  const path = join(directory, 'file');
  mkdirSync(directory);
  writeFileSync(path, 'one');
  const changed = watching(t, path);
  await changed();
  for (const text of ['two', 'three']) {
    await new Promise((resolve) => setTimeout(resolve, 200)); // the watch is set up meanwhile
    const gone = changed();
    rmSync(directory, { recursive: true });
    await gone;
    const back = changed();
    mkdirSync(directory);
    await back;
    await new Promise((resolve) => setTimeout(resolve, 200));
    const next = changed();
    writeFileSync(path, text);
    await next;
  }
});

test('an abort ends it with its reason', async (t) => {
  const end = new AbortController();
  const changes = watchFiles([join(tempDirectory(t), 'file')], end.signal);
  await changes.next();
  end.abort(new Error('the end'));
  await assert.rejects(changes.next(), /the end/);
});
