/** Sets of files with hostile names, in volumes that somebody has tampered with: nothing beside the volume changes. */
import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { VouchsafeError } from '../../../src/core/index.ts';
import type { OutputFile } from '../../../src/contracts/index.ts';
import { createFileWriter } from '../../../src/output/index.ts';
import { holdsAsync, hostileText, mutatedText } from '../../helpers/arbitraries.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

const NEVER = new AbortController().signal;
const CANARY = 'nobody may touch this';

const names = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('app', 'b', 'tls/key', 'tls/cert', 'a/b/c', 'tls') },
  { weight: 2, arbitrary: mutatedText('app.json', 'tls/server.pem', '../canary') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('../canary', 'canary', '..data', '..data/x', '..', 'x/../../canary'),
  },
  { weight: 1, arbitrary: hostileText },
);

const sets: fc.Arbitrary<readonly OutputFile[]> = fc.array(
  fc.record({
    path: names,
    mode: fc.constantFrom(0o400, 0o440, 0o444),
    content: fc.uint8Array({ maxLength: 20 }),
  }),
  { maxLength: 4 },
);

/** What somebody with access to the volume leaves there; `^` stands for the directory around it. */
const traps = fc.array(
  fc.tuple(
    fc.constantFrom('app', 'tls', '..data', '..data_tmp', '..links_tmp', 'b', '..2026_x', 'a'),
    fc.constantFrom(
      ...['^', '^/canary', '^/secret', '..', '../secret', '../secret/deep', '..data/../../canary'],
      ...['/', 'nowhere', '', '.', '..data', 'file'],
    ),
  ),
  { maxLength: 3 },
);

function plant(around: string, volume: string, name: string, target: string): void {
  const path = join(volume, name);
  try {
    if (target === 'file') writeFileSync(path, 'foreign', { flag: 'wx' });
    else if (target === '') mkdirSync(path);
    else symlinkSync(target.replace('^', around), path);
  } catch {
    // the name is taken
  }
}

/** Every entry below a directory, the volume left out: names, kinds, modes, contents. */
function picture(directory: string, leftOut: string): readonly string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (path === leftOut) return [];
    const stats = lstatSync(path);
    const what = stats.isFile() ? readFileSync(path, 'utf8') : '';
    const inner = stats.isDirectory() ? picture(path, leftOut) : [];
    return [`${path} ${stats.mode} ${what}`, ...inner];
  });
}

test('a set is rejected, or written below its directory and nowhere else', async (t) => {
  const base = tempDirectory(t);
  const outcomes = { written: 0, refused: 0 };
  const runs = fc.tuple(traps, fc.array(sets, { minLength: 1, maxLength: 3 }), traps);
  await holdsAsync(runs, 200, async ([before, writes, between]) => {
    const around = mkdtempSync(join(base, 'run-'));
    const volume = join(around, 'volume');
    mkdirSync(volume);
    mkdirSync(join(around, 'secret', 'deep'), { recursive: true });
    for (const name of ['canary', 'secret/app', 'secret/deep/app']) {
      writeFileSync(join(around, name), CANARY, { mode: 0o600 });
    }
    const untouched = picture(around, volume);
    const writer = createFileWriter({
      directory: volume,
      clock: new FakeClock(),
      random: { next: () => 0.5 },
    });
    const stop = new AbortController();
    for (const [name, target] of before) plant(around, volume, name, target);
    for (const files of writes) {
      try {
        await writer.write(files, stop.signal);
        outcomes.written += 1;
        for (const { path, content } of files) {
          assert.deepEqual(readFileSync(join(volume, path)), Buffer.from(content));
        }
      } catch (error) {
        if (!(error instanceof VouchsafeError)) throw error;
        assert.match(error.code, /^ERR_OUTPUT_/);
        outcomes.refused += 1;
      }
      assert.deepEqual(picture(around, volume), untouched);
      for (const [name, target] of between) plant(around, volume, name, target);
    }
    stop.abort();
    rmSync(around, { recursive: true });
  });
  assert.ok(outcomes.written > 30 && outcomes.refused > 30, JSON.stringify(outcomes));
});

test('names that some file systems treat as equal do not meet on disk', async (t) => {
  const directory = tempDirectory(t);
  const writer = createFileWriter({
    directory,
    clock: new FakeClock(),
    random: { next: () => 0.5 },
  });
  const pairs = fc.tuple(hostileText, hostileText).filter(([a, b]) => a !== b);
  await holdsAsync(pairs, 60, async (paths) => {
    const files = paths.map((path) => ({ path, mode: 0o400, content: Buffer.from(path) }));
    try {
      await writer.write(files, NEVER);
    } catch (error) {
      assert.ok(error instanceof VouchsafeError, String(error));
      return;
    }
    for (const { path, content } of files) {
      assert.deepEqual(readFileSync(join(directory, path)), content);
    }
  });
});
