import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join, relative } from 'node:path';
import { test, type TestContext } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import { nodeFileSystem } from '../../../src/output/file-system.ts';
import type { OutputFile } from '../../../src/contracts/index.ts';
import { createFileWriter } from '../../../src/output/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { ALWAYS, hooked, leftoversOf, readAll, setOf, writerOf } from './harness.ts';

const OLD = { a: 'old', 'nested/deep/key': 'old', 'nested/gone': 'old' };
const NEW = { a: 'new', b: 'new', 'nested/deep/key': 'new' };
/** The generation that a second write of this clock and chance makes. */
const NEXT = '..2026_01_01_00_00_00.000_80000001';

/** Somebody else's directory: it has the directories of a set, and files that a writer could remove, and no others. */
function elsewhere(t: TestContext): string {
  const directory = tempDirectory(t);
  for (const path of ['nested/deep/theirs', 'nested/gone', 'deep/theirs', 'gone']) {
    fs.mkdirSync(join(directory, path, '..'), { recursive: true });
    fs.writeFileSync(join(directory, path), 'theirs', { mode: 0o600 });
  }
  fs.chmodSync(directory, 0o700);
  return directory;
}

/** Everything about a directory that a writer could change. */
function pictureOf(directory: string): string[] {
  const paths = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  return ['', ...paths].map((path) => {
    const { mode, mtimeMs, size, ino } = fs.lstatSync(join(directory, path));
    return `${path} ${mode.toString(8)} ${mtimeMs} ${size} ${ino}`;
  });
}

/** Puts a symlink in the place of a directory; what was there is kept below the output directory. */
function swap(directory: string, path: string, target: string): void {
  const aside = join(directory, `aside-${relative(directory, path).replaceAll('/', '-')}`);
  fs.renameSync(path, aside);
  fs.symlinkSync(target, path);
}

function forgetSwaps(directory: string): void {
  for (const name of fs.readdirSync(directory)) {
    if (name.startsWith('aside')) fs.rmSync(join(directory, name), { recursive: true });
  }
}

for (const parent of ['', '/nested', '/nested/deep']) {
  for (const generation of ['next', 'present'] as const) {
    test(`the ${generation} set's ${parent || 'directory'} swapped before any operation leads nowhere else`, async (t) => {
      let swaps = 0;
      for (let at = 0, isOver = false; !isOver; at += 1) {
        const outside = elsewhere(t);
        const before = pictureOf(outside);
        const directory = tempDirectory(t);
        await writerOf(directory).write(setOf(OLD), ALWAYS);
        const present = fs.readlinkSync(join(directory, '..data'));
        const path = join(directory, (generation === 'next' ? NEXT : present) + parent);
        let operations = 0;
        const swapping = hooked(() => {
          operations += 1;
          if (operations !== at + 1 || !fs.existsSync(path)) return;
          swap(directory, path, outside);
          swaps += 1;
        });
        const clock = new FakeClock();
        const written = writerOf(directory, swapping, clock).write(setOf(NEW), ALWAYS);
        await written.catch((error: unknown) => assert.ok(error instanceof VouchsafeError));
        isOver = operations <= at;
        // What waits for readers is removed as well.
        await clock.advance(10_000);
        assert.deepEqual(pictureOf(outside), before, `before operation ${at}`);
        forgetSwaps(directory);

        await writerOf(directory).write(setOf(NEW), ALWAYS);
        assert.deepEqual(readAll(directory), NEW, `recovers from a swap before operation ${at}`);
        await writerOf(directory).write(setOf(NEW), ALWAYS);
        assert.deepEqual(leftoversOf(directory), []);
      }
      assert.ok(swaps > 4, `${swaps} swaps`);
    });
  }
}

test('a set whose directory was swapped is not reported as written', async (t) => {
  const directory = tempDirectory(t);
  await writerOf(directory).write(setOf(OLD), ALWAYS);
  const swapping = hooked((operation, path) => {
    if (operation === 'sealDirectory' && path.endsWith(NEXT)) swap(directory, path, '/');
  });
  await assert.rejects(writerOf(directory, swapping).write(setOf(NEW), ALWAYS), (error) => {
    assert.ok(error instanceof VouchsafeError);
    assert.equal(error.code, 'ERR_OUTPUT_IO');
    assert.ok(error.message.startsWith(`${join(directory, NEXT)} was moved or replaced`));
    return true;
  });
  assert.deepEqual(readAll(directory)['a'], 'old');
});

test('an output directory that leads elsewhere than before is not written, until it leads back', async (t) => {
  const base = tempDirectory(t);
  const outside = tempDirectory(t);
  fs.mkdirSync(join(outside, 'files'));
  const before = pictureOf(outside);
  const directory = join(base, 'volume/files');
  const writer = writerOf(directory);
  await writer.write(setOf(OLD), ALWAYS);
  for (const path of [directory, join(base, 'volume')]) {
    const aside = join(base, 'aside');
    fs.renameSync(path, aside);
    fs.symlinkSync(outside, path);
    await assert.rejects(writer.write(setOf(NEW), ALWAYS), /led to .* and leads to .* now/);
    fs.unlinkSync(path);
    fs.renameSync(aside, path);
    assert.deepEqual(readAll(directory), OLD);
  }
  assert.deepEqual(pictureOf(outside), before);
  await writer.write(setOf(NEW), ALWAYS);
  assert.deepEqual(readAll(directory), NEW);
});

test('what was planted is removed, without what it leads to and whatever its names are', async (t) => {
  const directory = tempDirectory(t);
  const outside = elsewhere(t);
  const before = pictureOf(outside);
  const planted = join(directory, '..2025_01_01_00_00_00.000_00000000');
  fs.mkdirSync(join(planted, 'd/d/d'), { recursive: true });
  fs.symlinkSync(outside, join(planted, 'd/link'));
  fs.writeFileSync(Buffer.from(`${planted}/d/\xff\xfe`, 'latin1'), '');
  fs.mkdirSync(Buffer.from(`${planted}/\xff`, 'latin1'));
  await writerOf(directory).write(setOf(NEW), ALWAYS);
  assert.deepEqual(leftoversOf(directory), []);
  assert.deepEqual(pictureOf(outside), before);
});

test('directories nested without end are an error, not a crash', async (t) => {
  const directory = tempDirectory(t);
  const planted = join(directory, '..2025_01_01_00_00_00.000_00000000');
  fs.mkdirSync(planted);
  const nested = join(planted, 'd/'.repeat(700));
  fs.mkdirSync(nested, { recursive: true });
  await assert.rejects(writerOf(directory).write(setOf(NEW), ALWAYS), /nested deeper than 512/);
});

test('a file that is replaced by a FIFO while it is looked at stops nobody', async (t) => {
  const directory = tempDirectory(t);
  await writerOf(directory).write(setOf(OLD), ALWAYS);
  const path = join(directory, '..data/a');
  const racing = {
    ...nodeFileSystem,
    read: (...[parent, name, maxBytes]: Parameters<typeof nodeFileSystem.read>) => {
      if (name === 'a') {
        fs.unlinkSync(path);
        assert.equal(spawnSync('mkfifo', [path]).status, 0);
      }
      return nodeFileSystem.read(parent, name, maxBytes);
    },
  };
  const result = await writerOf(directory, racing).write(setOf(OLD), ALWAYS);
  assert.deepEqual(result, { changed: ['a'], swapped: true });
  assert.deepEqual(readAll(directory), OLD);
});

/** Handles of this process that lead below a directory. */
function openBelow(directory: string): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = fs.readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return []; // The one by which the list was read.
    }
  });
}

test('no handle stays open: after a write, a failure at any operation, and the removal of old sets', async (t) => {
  for (let failing = 0, isOver = false; !isOver; failing += 1) {
    const directory = tempDirectory(t);
    await writerOf(directory).write(setOf(OLD), ALWAYS);
    let operations = 0;
    const failingOnce = hooked(() => {
      operations += 1;
      if (operations === failing + 1)
        throw Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'x' });
    });
    const clock = new FakeClock();
    const written = writerOf(directory, failingOnce, clock).write(setOf(NEW), ALWAYS);
    await written.catch(() => undefined);
    assert.deepEqual(openBelow(directory), [], `operation ${failing} failed`);
    await clock.advance(10_000);
    assert.deepEqual(openBelow(directory), []);
    isOver = operations <= failing;
  }
});

test('another process that swaps directories all the time leads nothing elsewhere', async (t) => {
  const directory = tempDirectory(t);
  const outside = elsewhere(t);
  const before = pictureOf(outside);
  const script = join(import.meta.dirname, 'endless-swapper.ts');
  const child = spawn(process.execPath, [script, directory, outside], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let swaps = 0;
  child.stdout.on('data', (dots: Buffer) => (swaps += dots.toString().split('.').length - 1));
  await once(child.stdout, 'data');

  let written = 0;
  let random = 0;
  const clock = new FakeClock();
  const writer = createFileWriter({
    directory,
    clock,
    random: { next: () => (random = (random + 0.618) % 1) },
  });
  const set = (round: number): OutputFile[] =>
    setOf({ a: `${round}`, 'nested/key': `${round}`, 'nested/deep/key': `${round}` });
  // Until enough of both has happened, however the machine shares its time between the two.
  for (let round = 0; round < 300 || (swaps < 5 && round < 20_000); round += 1) {
    await writer.write(set(round), ALWAYS).then(
      () => (written += 1),
      (error: unknown) => assert.ok(error instanceof VouchsafeError, String(error)),
    );
    assert.deepEqual(pictureOf(outside), before, `round ${round}`);
    await new Promise(setImmediate);
  }
  child.stdin.end();
  await once(child, 'exit');
  assert.equal(child.exitCode, 0);
  assert.ok(written > 0 && swaps >= 5, `${written} written, ${swaps} hundred swaps`);

  fs.rmSync(join(directory, 'aside'), { recursive: true, force: true });
  await writer.write(set(-1), ALWAYS);
  await writer.write(set(-1), ALWAYS);
  assert.deepEqual(readAll(directory), { a: '-1', 'nested/deep/key': '-1', 'nested/key': '-1' });
});
