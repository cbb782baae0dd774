/** Watching files as the kubelet and people change them. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { watchFiles } from '../../../src/platform/index.ts';
import { settle } from '../../helpers/settle.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

/** Watches until the test ends; each call of the function waits for one more change. The watch is set up when it returns. */
async function watching(t: TestContext, path: string): Promise<() => Promise<void>> {
  const changes = watchFiles([path], AbortSignal.timeout(10_000));
  t.after(async () => {
    await changes.return(); // or the watch would outlive the test
  });
  const changed = async (): Promise<void> => {
    const { done } = await changes.next();
    assert.equal(done, false);
  };
  await changed(); // at the start
  await changed(); // when changes are noticed from then on
  return changed;
}

test('the swap of a projected volume is seen', async (t) => {
  const directory = tempDirectory(t);
  for (const set of ['one', 'two', 'three']) {
    mkdirSync(join(directory, set));
    writeFileSync(join(directory, set, 'file'), set);
  }
  symlinkSync('one', join(directory, '..data'));
  symlinkSync('..data/file', join(directory, 'file'));
  const changed = await watching(t, join(directory, 'file'));
  for (const set of ['two', 'three']) {
    const next = changed();
    symlinkSync(set, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
    await next;
  }
});

test('a change before the watch is set up is not missed: the files are to be read again then', async (t) => {
  const path = join(tempDirectory(t), 'file');
  const changes = watchFiles([path], AbortSignal.timeout(10_000));
  await changes.next();
  writeFileSync(path, 'one');
  await changes.next();
  await changes.return();
});

test('a directory that is removed and created again is followed', async (t) => {
  const directory = join(tempDirectory(t), 'mounted');
  const path = join(directory, 'file');
  mkdirSync(directory);
  writeFileSync(path, 'one');
  const changed = await watching(t, path);
  for (const text of ['two', 'three']) {
    const gone = changed();
    rmSync(directory, { recursive: true });
    await gone;
    const back = changed();
    mkdirSync(directory);
    await back;
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

test('an abort while its user is busy fails nothing else, and is seen at the next step', async (t) => {
  const end = new AbortController();
  const changes = watchFiles([join(tempDirectory(t), 'file')], end.signal);
  await changes.next();
  end.abort(new Error('the end'));
  await settle(); // a rejection that nothing handles would fail this test
  await assert.rejects(changes.next(), /the end/);
});
