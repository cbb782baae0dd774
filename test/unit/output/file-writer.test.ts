import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createFileWriter } from '../../../src/output/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { ALWAYS, generationOf, hooked, leftoversOf, readAll, setOf, writerOf } from './harness.ts';

function modeOf(path: string): number {
  return fs.statSync(path).mode & 0o7777;
}

test('a set is laid out like a projected volume', async (t) => {
  const directory = tempDirectory(t);
  const files = setOf({ 'app.json': '{}', 'tls/server.pem': 'chain', 'tls/deep/key': 'k' });
  const result = await writerOf(directory).write(files, ALWAYS);

  assert.deepEqual(result, {
    changed: ['app.json', 'tls/server.pem', 'tls/deep/key'],
    swapped: true,
  });
  assert.deepEqual(readAll(directory), {
    'app.json': '{}',
    'tls/server.pem': 'chain',
    'tls/deep/key': 'k',
  });
  assert.equal(fs.readlinkSync(join(directory, 'app.json')), '..data/app.json');
  assert.equal(fs.readlinkSync(join(directory, 'tls')), '..data/tls');
  assert.equal(generationOf(directory), '..2026_01_01_00_00_00.000_80000000');
  assert.deepEqual(leftoversOf(directory), []);
});

test('modes are those asked for, whatever the umask is', async (t) => {
  const directory = join(tempDirectory(t), 'made/by/the/writer');
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  const file = (path: string, mode: number): { path: string; mode: number; content: Buffer } => ({
    path,
    mode,
    content: Buffer.from('x'),
  });
  await writerOf(directory).write(
    [file('all', 0o777), file('group', 0o440), file('d/world', 0o444), file('own', 0o600)],
    ALWAYS,
  );
  for (const [path, mode] of [
    ['all', 0o777],
    ['group', 0o440],
    ['d/world', 0o444],
    ['own', 0o600],
    ['d', 0o755],
    ['..data', 0o755],
    ['.', 0o755],
  ] as const) {
    assert.equal(modeOf(join(directory, path)), mode, path);
  }
});

test('files belong to the group of a set-group-ID directory, as with fsGroup', async (t) => {
  const directory = tempDirectory(t);
  const group = process.getuid?.() === 0 ? 12_345 : (process.getgid?.() ?? 0);
  fs.chownSync(directory, -1, group);
  fs.chmodSync(directory, 0o2775);
  await writerOf(directory).write(setOf({ a: 'x', 'b/c': 'y' }), ALWAYS);
  assert.equal(fs.statSync(join(directory, 'a')).gid, group);
  assert.equal(fs.statSync(join(directory, 'b/c')).gid, group);
});

test('the same set again touches nothing, also after a restart', async (t) => {
  const directory = tempDirectory(t);
  const files = setOf({ a: '1', 'b/c': '2' });
  await writerOf(directory).write(files, ALWAYS);
  const generation = generationOf(directory);
  const untouched = hooked((operation, path) => assert.fail(`${operation} ${path}`));
  for (const writer of [writerOf(directory, untouched), writerOf(directory, untouched)]) {
    const result = await writer.write(files.toReversed(), ALWAYS);
    assert.deepEqual(result, { changed: [], swapped: false });
  }
  assert.equal(generationOf(directory), generation);
});

test('changed names the files that differ for a reader: changed, new and removed ones', async (t) => {
  const directory = tempDirectory(t);
  const writer = writerOf(directory);
  await writer.write(
    setOf({ same: '1', longer: '2', other: '3', gone: '4', 'd/gone': '5' }),
    ALWAYS,
  );
  const next = setOf({ same: '1', longer: '22', other: 'x', added: '6' });
  const result = await writer.write(next, ALWAYS);
  assert.deepEqual(result, {
    changed: ['longer', 'other', 'added', 'gone', 'd/gone'],
    swapped: true,
  });
  assert.deepEqual(readAll(directory), { added: '6', longer: '22', other: 'x', same: '1' });
});

test('another mode alone is a new set without changed bytes', async (t) => {
  const directory = tempDirectory(t);
  const writer = writerOf(directory);
  const [file] = setOf({ a: '1' });
  await writer.write([file!], ALWAYS);
  const result = await writer.write([{ ...file!, mode: 0o400 }], ALWAYS);
  assert.deepEqual(result, { changed: [], swapped: true });
  assert.equal(modeOf(join(directory, 'a')), 0o400);
});

test('a name can turn from file to directory and back', async (t) => {
  const directory = tempDirectory(t);
  const writer = writerOf(directory);
  for (const contents of [{ a: '1' }, { 'a/b': '2' }, { 'a/b/c': '3' }, { a: '4' }]) {
    await writer.write(setOf(contents), ALWAYS);
    assert.deepEqual(readAll(directory), contents);
  }
});

test('the empty set removes everything', async (t) => {
  const directory = tempDirectory(t);
  const writer = writerOf(directory);
  assert.deepEqual(await writer.write([], ALWAYS), { changed: [], swapped: true });
  assert.deepEqual(fs.readdirSync(join(directory, '..data')), [], 'readers find an empty set');
  assert.deepEqual(await writer.write([], ALWAYS), { changed: [], swapped: false });
  await writer.write(setOf({ a: '1' }), ALWAYS);
  assert.deepEqual(await writer.write([], ALWAYS), { changed: ['a'], swapped: true });
  assert.deepEqual(readAll(directory), {});
});

test('bytes are bytes: large, empty and not text', async (t) => {
  const directory = tempDirectory(t);
  const large = Buffer.alloc(1024 * 1024, 0xfe);
  const files = [
    { path: 'large', mode: 0o400, content: large },
    { path: 'empty', mode: 0o400, content: new Uint8Array() },
    { path: 'view', mode: 0o400, content: new Uint8Array(large.buffer, 7, 9) },
  ];
  await writerOf(directory).write(files, ALWAYS);
  assert.ok(fs.readFileSync(join(directory, 'large')).equals(large));
  assert.equal(fs.readFileSync(join(directory, 'empty')).length, 0);
  assert.equal(fs.readFileSync(join(directory, 'view')).length, 9);
  assert.equal((await writerOf(directory).write(files, ALWAYS)).swapped, false);
});

test('the directory may be a symlink', async (t) => {
  const base = tempDirectory(t);
  fs.mkdirSync(join(base, 'real'));
  fs.symlinkSync('real', join(base, 'link'));
  await writerOf(join(base, 'link')).write(setOf({ a: '1' }), ALWAYS);
  assert.deepEqual(readAll(join(base, 'real')), { a: '1' });
  assert.ok(fs.lstatSync(join(base, 'link')).isSymbolicLink());
});

test('files of others beside ours are left alone', async (t) => {
  const directory = tempDirectory(t);
  fs.writeFileSync(join(directory, 'theirs'), 'x');
  fs.mkdirSync(join(directory, 'lost+found'));
  fs.symlinkSync('/nowhere', join(directory, 'link'));
  fs.mkdirSync(join(directory, '..not_a_generation'));
  const writer = writerOf(directory);
  await writer.write(setOf({ a: '1' }), ALWAYS);
  await writer.write(setOf({ b: '2' }), ALWAYS);
  assert.equal(fs.readFileSync(join(directory, 'theirs'), 'utf8'), 'x');
  assert.equal(fs.readlinkSync(join(directory, 'link')), '/nowhere');
  assert.ok(fs.existsSync(join(directory, 'lost+found')));
  assert.ok(fs.existsSync(join(directory, '..not_a_generation')));
});

test('the previous files outlive the swap by ten seconds', async (t) => {
  const directory = tempDirectory(t);
  const clock = new FakeClock();
  const writer = writerOf(directory, undefined, clock);
  await writer.write(setOf({ a: '1' }), ALWAYS);
  const first = generationOf(directory);
  await writer.write(setOf({ a: '2' }), ALWAYS);
  assert.equal((await writer.write(setOf({ a: '2' }), ALWAYS)).swapped, false);
  assert.equal(fs.readFileSync(join(directory, first, 'a'), 'utf8'), '1');

  await clock.advance(9_999);
  assert.deepEqual(leftoversOf(directory), [first]);
  await clock.advance(1);
  // The removal is real input and output; the next write waits its turn behind it.
  await writer.write(setOf({ a: '2' }), ALWAYS);
  assert.deepEqual(leftoversOf(directory), []);
  assert.equal(clock.sleeping, 0);
});

test('a next write removes the previous files at once: there are never three sets', async (t) => {
  const directory = tempDirectory(t);
  const clock = new FakeClock();
  let most = 0;
  const counting = hooked((operation) => {
    if (operation !== 'createFile') return;
    const sets = fs.readdirSync(directory).filter((name) => /^\.\.\d/.test(name));
    most = Math.max(most, sets.length);
  });
  const writer = writerOf(directory, counting, clock);
  for (let round = 0; round < 20; round += 1) {
    await writer.write(setOf({ a: `${round}` }), ALWAYS);
  }
  assert.equal(most, 2);
  assert.equal(clock.sleeping, 1, 'one removal waits, not one per write');
});

test('concurrent writes run one after the other, and the last one wins', async (t) => {
  const directory = tempDirectory(t);
  const writer = writerOf(directory);
  const results = await Promise.all(
    ['1', '2', '2', '3'].map((content) => writer.write(setOf({ a: content }), ALWAYS)),
  );
  assert.deepEqual(
    results.map((result) => result.swapped),
    [true, true, false, true],
  );
  assert.deepEqual(readAll(directory), { a: '3' });
});

test('by default the writer works on the real file system', async (t) => {
  const directory = tempDirectory(t);
  const writer = createFileWriter({
    directory,
    clock: new FakeClock(),
    random: { next: () => 0 },
  });
  await writer.write(setOf({ a: '1' }), ALWAYS);
  assert.deepEqual(readAll(directory), { a: '1' });
});
