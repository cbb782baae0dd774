import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemLocks } from '../../../src/platform/locks.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const LOCKS = new URL('../../../src/platform/locks.ts', import.meta.url).href;

test('a directory is locked once, and again when it was released', async (t) => {
  const directory = tempDirectory(t);
  const other = tempDirectory(t);
  const first = await systemLocks.tryLock(directory);
  assert.ok(first);
  assert.equal(await systemLocks.tryLock(directory), undefined);
  await (await systemLocks.tryLock(other))?.release();
  await first.release();
  const second = await systemLocks.tryLock(directory);
  assert.ok(second);
  await second.release();
});

test('a lock ends with its process, however that ends', async (t) => {
  const directory = tempDirectory(t);
  const script = `
    const { systemLocks } = await import(${JSON.stringify(LOCKS)});
    globalThis.lock = await systemLocks.tryLock(${JSON.stringify(directory)});
    console.log(globalThis.lock === undefined ? 'taken' : 'ours');
    process.stdin.resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as [unknown];
  assert.match(String(line), /ours/);
  assert.equal(await systemLocks.tryLock(directory), undefined);
  child.kill('SIGKILL');
  await ended;
  const lock = await systemLocks.tryLock(directory);
  assert.ok(lock);
  await lock.release();
});

test('only a directory is locked', async (t) => {
  const directory = tempDirectory(t);
  await assert.rejects(systemLocks.tryLock(join(directory, 'none')), { code: 'ENOENT' });
  writeFileSync(join(directory, 'file'), '');
  await assert.rejects(systemLocks.tryLock(join(directory, 'file')), { code: 'ENOTDIR' });
});
