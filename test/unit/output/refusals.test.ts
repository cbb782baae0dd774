import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { VouchsafeError, type ErrorCode } from '../../../src/core/index.ts';
import { nodeFileSystem } from '../../../src/output/file-system.ts';
import { createFileWriter } from '../../../src/output/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { ALWAYS, hooked, leftoversOf, readAll, setOf, systemError, writerOf } from './harness.ts';

const OLD = { 'app.json': 'old', 'tls/key': 'old' };

function refusal(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof VouchsafeError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

async function withOldSet(t: TestContext): Promise<string> {
  const directory = tempDirectory(t);
  await writerOf(directory).write(setOf(OLD), ALWAYS);
  return directory;
}

test('bad names are rejected together, before anything is touched', async (t) => {
  const directory = await withOldSet(t);
  const untouched = hooked((operation) => assert.fail(operation));
  const files = setOf({ '../x': '', '/etc/passwd': '', a: '', 'a/b': '', '..data': '', ok: '' });
  await assert.rejects(writerOf(directory, untouched).write(files, ALWAYS), (error) => {
    assert.ok(error instanceof VouchsafeError);
    assert.equal(error.code, 'ERR_OUTPUT_PATH');
    for (const name of ['"../x"', '"/etc/passwd"', '"a"', '"a/b"', '"..data"']) {
      assert.ok(error.message.includes(name), name);
    }
    assert.ok(!error.message.includes('"ok"'));
    return true;
  });
  assert.deepEqual(readAll(directory), OLD);
});

test('equal names are rejected', async (t) => {
  const files = [...setOf({ a: '1' }), ...setOf({ a: '2' })];
  const refused = writerOf(tempDirectory(t)).write(files, ALWAYS);
  await assert.rejects(
    refused,
    refusal('ERR_OUTPUT_PATH', /"a": it is also the path of another file/),
  );
});

test('a directory whose path is longer than the system can name is an error, and stays closed', async (t) => {
  const top = tempDirectory(t);
  const start = process.cwd();
  t.after(() => {
    process.chdir(start);
    spawnSync('rm', ['-rf', top]); // Node removes by path as well
  });
  process.chdir(top);
  for (let depth = 0; depth < 20; depth += 1) {
    const name = 'd'.repeat(250);
    fs.mkdirSync(name);
    process.chdir(name);
  }
  const before = fs.readdirSync('/proc/self/fd').length;
  await assert.rejects(
    writerOf('.').write(setOf(OLD), ALWAYS),
    refusal('ERR_OUTPUT_IO', /ENAMETOOLONG/),
  );
  assert.equal(fs.readdirSync('/proc/self/fd').length, before);
  assert.deepEqual(fs.readdirSync('.'), []);
});

test('modes with other than permission bits are a mistake of the caller', async (t) => {
  const writer = writerOf(tempDirectory(t));
  for (const mode of [0o1000, 0o4755, -1, 0.5, Number.NaN]) {
    const files = [{ path: 'a', mode, content: new Uint8Array() }];
    await assert.rejects(writer.write(files, ALWAYS), TypeError);
  }
});

for (const [what, make] of [
  ['a file', (path: string): void => fs.writeFileSync(path, 'theirs')],
  ['a directory', (path: string): unknown => fs.mkdirSync(path)],
  ['a symlink elsewhere', (path: string): void => fs.symlinkSync('/etc', path)],
  ['a dangling symlink', (path: string): void => fs.symlinkSync('..data/other', path)],
] as const) {
  test(`${what} with a visible name is a conflict`, async (t) => {
    const directory = await withOldSet(t);
    make(join(directory, 'new'));
    const refused = writerOf(directory).write(setOf({ 'new/x': '1' }), ALWAYS);
    await assert.rejects(
      refused,
      refusal('ERR_OUTPUT_PATH', /^new in .* exists and does not belong to Vouchsafe/),
    );
    fs.rmSync(join(directory, 'new'), { recursive: true });
    assert.deepEqual(readAll(directory), OLD);
    assert.deepEqual(leftoversOf(directory), []);
  });
}

test('a ..data that is not a symlink is a conflict', async (t) => {
  const directory = tempDirectory(t);
  fs.mkdirSync(join(directory, '..data'));
  const refused = writerOf(directory).write(setOf({ a: '1' }), ALWAYS);
  await assert.rejects(
    refused,
    refusal('ERR_OUTPUT_PATH', /^\.\.data in .* exists and does not belong to Vouchsafe/),
  );
});

test('a directory that is a file, or below one, is an error that names it', async (t) => {
  const file = join(tempDirectory(t), 'file');
  fs.writeFileSync(file, '');
  for (const directory of [file, join(file, 'below')]) {
    const refused = writerOf(directory).write(setOf({ a: '1' }), ALWAYS);
    await assert.rejects(refused, refusal('ERR_OUTPUT_IO', /\/file.* \((EEXIST|ENOTDIR)\)/));
  }
});

test('planted symlinks are never followed', async (t) => {
  const directory = tempDirectory(t);
  const outside = tempDirectory(t);
  fs.writeFileSync(join(outside, 'a'), 'theirs');
  // The names that the writer is about to use, as its clock and its chance give them.
  fs.symlinkSync(outside, join(directory, '..2026_01_01_00_00_00.000_80000000'));
  fs.symlinkSync(outside, join(directory, '..2026_01_01_00_00_00.000_80000001'));
  fs.symlinkSync(join(outside, 'a'), join(directory, '..data_tmp'));
  fs.symlinkSync(outside, join(directory, '..links_tmp'));
  fs.symlinkSync(outside, join(directory, '..data'));
  const result = await writerOf(directory).write(setOf({ a: 'ours' }), ALWAYS);
  assert.deepEqual(result, { changed: ['a'], swapped: true });
  assert.deepEqual(readAll(directory), { a: 'ours' });
  assert.deepEqual(leftoversOf(directory), []);
  assert.deepEqual(fs.readdirSync(outside), ['a']);
  assert.equal(fs.readFileSync(join(outside, 'a'), 'utf8'), 'theirs');
});

test('a ..data that leads to a planted symlink is replaced, not read', async (t) => {
  const directory = tempDirectory(t);
  const outside = tempDirectory(t);
  fs.writeFileSync(join(outside, 'a'), 'same', { mode: 0o440 });
  fs.symlinkSync(outside, join(directory, '..2025_01_01_00_00_00.000_00000000'));
  fs.symlinkSync('..2025_01_01_00_00_00.000_00000000', join(directory, '..data'));
  fs.symlinkSync('..data/a', join(directory, 'a'));
  const result = await writerOf(directory).write(setOf({ a: 'same' }), ALWAYS);
  assert.deepEqual(result, { changed: ['a'], swapped: true });
  assert.ok(fs.lstatSync(join(directory, '..data/')).isDirectory());
  assert.deepEqual(fs.readdirSync(outside), ['a']);
});

test('a directory that appears under the new name in between is not written into', async (t) => {
  const directory = await withOldSet(t);
  const outside = tempDirectory(t);
  const racing = hooked((operation, path) => {
    if (operation === 'makeDirectory' && path.endsWith('/tls')) fs.symlinkSync(outside, path);
  });
  const refused = writerOf(directory, racing).write(setOf({ 'tls/key': 'new' }), ALWAYS);
  await assert.rejects(refused, refusal('ERR_OUTPUT_IO', /EEXIST/));
  assert.deepEqual(fs.readdirSync(outside), []);
  assert.deepEqual(readAll(directory), OLD);
});

test('a file that somebody put into the present set does not keep it', async (t) => {
  const directory = await withOldSet(t);
  for (const meddle of [
    (): void => fs.symlinkSync('/etc/passwd', join(directory, '..data/planted')),
    (): void => fs.writeFileSync(join(directory, '..data/planted'), 'x'),
    (): void => fs.unlinkSync(join(directory, 'tls')),
  ]) {
    meddle();
    const result = await writerOf(directory).write(setOf(OLD), ALWAYS);
    assert.ok(result.swapped);
    assert.deepEqual(readAll(directory), OLD);
    assert.equal((await writerOf(directory).write(setOf(OLD), ALWAYS)).swapped, false);
  }
});

for (const [errno, code, remedy] of [
  ['ENOSPC', 'ERR_OUTPUT_FULL', /full.*\(6 bytes\).*\(6 bytes\).*raise the size limit/],
  ['EDQUOT', 'ERR_OUTPUT_FULL', /full/],
  ['EROFS', 'ERR_OUTPUT_READ_ONLY', /mount it writable/],
  ['EACCES', 'ERR_OUTPUT_READ_ONLY', /cannot be written \(EACCES\)/],
  ['EPERM', 'ERR_OUTPUT_READ_ONLY', /cannot be written \(EPERM\)/],
  ['EIO', 'ERR_OUTPUT_IO', /failed \(EIO\)/],
] as const) {
  test(`${errno} is ${code}, with the old set in place and no content in the error`, async (t) => {
    const directory = await withOldSet(t);
    const failing = hooked((operation, path) => {
      if (operation === 'createFile' && path.endsWith('key')) throw systemError(errno);
    });
    const files = setOf({ 'app.json': 'new', 'tls/key': 'new' });
    await assert.rejects(writerOf(directory, failing).write(files, ALWAYS), (error) => {
      assert.ok(error instanceof VouchsafeError);
      assert.equal(error.code, code);
      assert.match(error.message, remedy);
      assert.ok(error.message.includes(directory));
      assert.ok(!JSON.stringify(error).includes('new"'));
      return true;
    });
    assert.deepEqual(readAll(directory), OLD);
    assert.deepEqual(leftoversOf(directory), []);
  });
}

test('a present file that cannot be read is written again', async (t) => {
  const directory = await withOldSet(t);
  const unreadable = { ...nodeFileSystem, read: () => Promise.reject(systemError('EACCES')) };
  const result = await writerOf(directory, unreadable).write(setOf(OLD), ALWAYS);
  assert.deepEqual(result, { changed: Object.keys(OLD), swapped: true });
  assert.deepEqual(readAll(directory), OLD);
});

test('a directory that cannot be looked at is an error', async (t) => {
  const directory = await withOldSet(t);
  fs.symlinkSync('loop', join(directory, 'loop'));
  const refused = writerOf(join(directory, 'loop')).write(setOf(OLD), ALWAYS);
  await assert.rejects(refused, refusal('ERR_OUTPUT_IO', /loop failed \((ELOOP|ENOENT|EEXIST)\)/));
});

test('a defect is not dressed up as an error of the volume', async (t) => {
  const defect = new RangeError('defect');
  const failing = hooked(() => {
    throw defect;
  });
  const failed = writerOf(tempDirectory(t), failing).write(setOf({ a: '1' }), ALWAYS);
  await assert.rejects(failed, (error) => error === defect);
});

test('an abort ends a write between two files, and leaves nothing behind', async (t) => {
  const directory = await withOldSet(t);
  const controller = new AbortController();
  const reason = new Error('stop');
  const aborting = hooked((operation) => {
    if (operation === 'createFile') controller.abort(reason);
  });
  const aborted = writerOf(directory, aborting).write(setOf({ a: '1', b: '2' }), controller.signal);
  await assert.rejects(aborted, (error) => error === reason);
  assert.deepEqual(readAll(directory), OLD);
  assert.deepEqual(leftoversOf(directory), []);
  const again = writerOf(directory).write(setOf({ a: '1' }), controller.signal);
  await assert.rejects(again, (error) => error === reason);
});

test('an abort leaves no timer behind', async (t) => {
  const directory = await withOldSet(t);
  const clock = new FakeClock();
  const controller = new AbortController();
  await writerOf(directory, undefined, clock).write(setOf({ a: '1' }), controller.signal);
  assert.equal(clock.sleeping, 1);
  controller.abort();
  await clock.advance(0);
  assert.equal(clock.sleeping, 0);
});

test('a write after a failed one succeeds', async (t) => {
  const directory = await withOldSet(t);
  let broken = true;
  const failing = hooked(() => {
    if (broken) throw systemError('ENOSPC');
  });
  const writer = writerOf(directory, failing);
  await assert.rejects(writer.write(setOf({ a: '1' }), ALWAYS));
  broken = false;
  await writer.write(setOf({ a: '1' }), ALWAYS);
  assert.deepEqual(readAll(directory), { a: '1' });
});

test('on a full tmpfs the old set stays, and a smaller one fits again', async (t) => {
  const directory = join(tempDirectory(t), 'volume');
  fs.mkdirSync(directory);
  const options = ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory];
  if (spawnSync('mount', options).status !== 0) {
    // The simulated ENOSPC above covers the same path of the writer.
    t.skip('mounting a tmpfs needs root and CAP_SYS_ADMIN');
    return;
  }
  try {
    await fillVolume(directory);
  } finally {
    spawnSync('umount', [directory]);
  }
});

async function fillVolume(directory: string): Promise<void> {
  const writer = createFileWriter({
    directory,
    clock: new FakeClock(),
    random: { next: () => 0 },
  });
  const old = { a: 'a'.repeat(20_000), b: 'b'.repeat(10_000) };
  await writer.write(setOf(old), ALWAYS);
  const refused = writer.write(setOf({ a: 'A'.repeat(20_000), b: 'B'.repeat(20_000) }), ALWAYS);
  await assert.rejects(
    refused,
    refusal('ERR_OUTPUT_FULL', /\(40000 bytes\) do not fit beside.*\(30000 bytes\)/),
  );
  assert.deepEqual(readAll(directory), old);
  assert.deepEqual(leftoversOf(directory), []);

  // As large as the old one: fits again and again, because a third set is never there.
  for (const letter of ['c', 'd', 'e']) {
    const next = { a: letter.repeat(20_000), b: letter.repeat(8_000) };
    await writer.write(setOf(next), ALWAYS);
    assert.deepEqual(readAll(directory), next);
  }
}
