import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { OutputFile } from '../../../src/contracts/index.ts';
import { createEnvWriter } from '../../../src/output/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { ALWAYS, readAll, setOf, writerOf } from './harness.ts';

const START = Date.UTC(2026, 0, 1);
const SECONDS = START / 1000;

function bench(t: TestContext, startMs = START, names: readonly string[] = []) {
  const root = tempDirectory(t);
  const [files, directory] = [join(root, 'files'), join(root, 'env')];
  const create = (atMs: number) =>
    createEnvWriter({
      files: writerOf(files),
      variables: writerOf(directory),
      directory,
      names,
      clock: new FakeClock(atMs),
    });
  return { files, directory, create, writer: create(startMs) };
}

function variables(values: Readonly<Record<string, string>>): OutputFile[] {
  return Object.entries(values).map(([name, value]) => ({
    path: `..env/${name}`,
    mode: 0o400,
    content: Buffer.from(`${name}='${value}'\n`),
  }));
}

test('variables and files go to a directory each, and the variables have a version', async (t) => {
  const { files, directory, writer } = bench(t);
  const set = [...setOf({ app: 'x' }), ...variables({ A: '1' })];
  const result = await writer.write(set, ALWAYS);
  assert.deepEqual(result, { changed: ['..env/A', 'app'], swapped: true, version: SECONDS });
  assert.deepEqual(readAll(files), { app: 'x' });
  assert.deepEqual(readAll(directory), {
    A: "A='1'\n",
    VOUCHSAFE_ENV_VERSION: `VOUCHSAFE_ENV_VERSION='${SECONDS}'\n`,
  });
  assert.equal(statSync(join(directory, 'A')).mode & 0o777, 0o400);
});

test('the version changes with a variable, and with nothing else', async (t) => {
  const { writer, create, directory } = bench(t);
  const write = async (
    by: typeof writer,
    values: Record<string, string>,
    app = 'x',
  ): Promise<{ readonly version: number; readonly changed: readonly string[] }> =>
    by.write([...setOf({ app }), ...variables(values)], ALWAYS);
  await write(writer, { A: '1', B: '2' });
  // Another process, later: the version is that of the set.
  const later = create(START + 3_600_000);
  assert.equal((await write(later, { A: '1', B: '2' }, 'y')).version, SECONDS);
  const changed = await write(later, { A: '3', B: '2' });
  assert.deepEqual([changed.version, changed.changed], [SECONDS + 3600, ['..env/A', 'app']]);
  const removed = await write(later, { A: '3' });
  assert.deepEqual([removed.version, removed.changed], [SECONDS + 3601, ['..env/B']]);
  const added = await write(later, { A: '3', C: '' });
  assert.equal(added.version, SECONDS + 3602, 'two sets in one second differ');
  const earlier = create(START - 3_600_000);
  assert.equal((await write(earlier, { A: '4', C: '' })).version, SECONDS + 3603);
  const file = readFileSync(join(directory, 'VOUCHSAFE_ENV_VERSION'), 'utf8');
  assert.equal(file, `VOUCHSAFE_ENV_VERSION='${SECONDS + 3603}'\n`);
});

test('a variable without a value has a file all the same: the kubelet rejects an optional one without', async (t) => {
  const { directory, writer, create } = bench(t, START, ['A', 'B']);
  const first = await writer.write(variables({ A: '1' }), ALWAYS);
  assert.deepEqual(first.changed, ['..env/A'], 'for a reader, B is missing as before');
  const { A, B } = readAll(directory);
  assert.deepEqual([A, B], ["A='1'\n", '']);
  const again = await create(START + 60_000).write(variables({ A: '1' }), ALWAYS);
  assert.deepEqual(again, { changed: [], swapped: false, version: SECONDS });
  const added = await writer.write(variables({ A: '1', B: '2' }), ALWAYS);
  assert.deepEqual(added.changed, ['..env/B']);
  const removed = await writer.write(variables({ A: '1' }), ALWAYS);
  assert.deepEqual(removed.changed, ['..env/B']);
  assert.equal(readAll(directory)['B'], '');
});

test('a version that cannot be read is a new one', async (t) => {
  const { writer, directory } = bench(t);
  await writer.write(variables({ A: '1' }), ALWAYS);
  const data = join(directory, '..data');
  rmSync(join(data, 'VOUCHSAFE_ENV_VERSION'));
  mkdirSync(join(data, 'VOUCHSAFE_ENV_VERSION'));
  assert.equal((await writer.write(variables({ A: '1' }), ALWAYS)).version, SECONDS);
});

test('variables that do not fit into a process are rejected, and everything stays', async (t) => {
  const { writer, files } = bench(t);
  await writer.write([...setOf({ app: 'x' }), ...variables({ A: '1' })], ALWAYS);
  const many = Array.from({ length: 33 }, (_, at) => [`A${at}`, 'x'.repeat(32 * 1024)] as const);
  const set = [...setOf({ app: 'y' }), ...variables(Object.fromEntries(many))];
  await assert.rejects(writer.write(set, ALWAYS), { code: 'ERR_ENV_VALUE' });
  assert.deepEqual(readAll(files), { app: 'x' });
});

test('if the variables cannot be written, the files stay as they are', async (t) => {
  const { writer, files, directory } = bench(t);
  mkdirSync(directory);
  writeFileSync(join(directory, 'A'), 'of somebody else');
  const set = [...setOf({ app: 'x' }), ...variables({ A: '1' })];
  await assert.rejects(writer.write(set, ALWAYS), { code: 'ERR_OUTPUT_PATH' });
  assert.throws(() => readAll(files), /ENOENT/);
});
