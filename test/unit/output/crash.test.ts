import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tempDirectory } from '../../helpers/temp-directory.ts';
import { ALWAYS, hooked, leftoversOf, readAll, setOf, systemError, writerOf } from './harness.ts';

const OLD = { same: 'old', 'd/changed': 'old', gone: 'old' };
const NEW = { same: 'old', 'd/changed': 'new', 'd/added': 'new', added: 'new' };

/** The names that a reader finds in both sets must be readable at any time, and be of one set. */
function assertOneSet(directory: string, when: string): 'old' | 'new' {
  const changed = fs.readFileSync(join(directory, 'd/changed'), 'utf8');
  assert.equal(fs.readFileSync(join(directory, 'same'), 'utf8'), 'old', when);
  assert.equal(fs.existsSync(join(directory, 'd/added')), changed === 'new', when);
  assert.equal(fs.existsSync(join(directory, 'gone')), changed === 'old', when);
  if (changed === 'old') assert.ok(!fs.existsSync(join(directory, 'added')), when);
  else assert.equal(changed, 'new', when);
  return changed === 'new' ? 'new' : 'old';
}

async function countOperations(t: TestContext): Promise<number> {
  const directory = tempDirectory(t);
  let count = 0;
  await writerOf(directory).write(setOf(OLD), ALWAYS);
  const counting = hooked(() => {
    assertOneSet(directory, `before operation ${count}`);
    count += 1;
  });
  await writerOf(directory, counting).write(setOf(NEW), ALWAYS);
  return count;
}

test('a write that dies before any of its operations leaves one set, and the next write repairs', async (t) => {
  const operations = await countOperations(t);
  assert.ok(operations > 12);
  const seen = new Set<string>();
  for (let last = 0; last < operations; last += 1) {
    const directory = tempDirectory(t);
    await writerOf(directory).write(setOf(OLD), ALWAYS);
    let count = 0;
    // From here on nothing works any more, tidying up included, as after a SIGKILL.
    const dying = hooked(() => {
      if (count >= last) throw systemError('EIO');
      count += 1;
    });
    await assert.rejects(writerOf(directory, dying).write(setOf(NEW), ALWAYS));
    seen.add(assertOneSet(directory, `after ${last} operations`));

    await writerOf(directory).write(setOf(NEW), ALWAYS);
    assert.deepEqual(readAll(directory), Object.fromEntries(Object.entries(NEW).sort()));
    assert.deepEqual(
      leftoversOf(directory).filter((name) => !/^\.\.\d/.test(name)),
      [],
    );
    const again = await writerOf(directory).write(setOf(NEW), ALWAYS);
    assert.deepEqual(again, { changed: [], swapped: false });
    assert.deepEqual(leftoversOf(directory), []);
  }
  assert.deepEqual([...seen].sort(), ['new', 'old']);
});

test('one failing operation before the swap leaves the old set and nothing else', async (t) => {
  const operations = await countOperations(t);
  for (let failing = 0; failing < operations; failing += 1) {
    const directory = tempDirectory(t);
    await writerOf(directory).write(setOf(OLD), ALWAYS);
    let count = 0;
    const failingOnce = hooked(() => {
      count += 1;
      if (count === failing + 1) throw systemError('ENOSPC');
    });
    await assert.rejects(writerOf(directory, failingOnce).write(setOf(NEW), ALWAYS));
    if (assertOneSet(directory, `operation ${failing} failed`) === 'new') return;
    assert.deepEqual(leftoversOf(directory), []);
    assert.deepEqual(readAll(directory), Object.fromEntries(Object.entries(OLD).sort()));
  }
});

test('a set whose links were not all made is seen as changed by the next process', async (t) => {
  const directory = tempDirectory(t);
  let swapped = false;
  const dying = hooked((operation, path) => {
    if (swapped) throw systemError('EIO');
    swapped = operation === 'rename' && path.endsWith('/..data');
  });
  await assert.rejects(writerOf(directory, dying).write(setOf({ a: '1', b: '2' }), ALWAYS));
  assert.deepEqual(readAll(directory), {});
  const result = await writerOf(directory).write(setOf({ a: '1', b: '2' }), ALWAYS);
  assert.deepEqual(result, { changed: ['a', 'b'], swapped: true });
  assert.deepEqual(readAll(directory), { a: '1', b: '2' });
});

/** Starts a process of this test, and waits for its first line. */
async function start(t: TestContext, script: string, directory: string): Promise<ChildProcess> {
  const path = join(import.meta.dirname, script);
  const child = spawn(process.execPath, [path, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

test('readers at full speed see whole sets alone, while writers are killed in the middle', async (t) => {
  const directory = tempDirectory(t);
  const first = await start(t, 'endless-writer.ts', directory);
  const reader = await start(t, 'endless-reader.ts', directory);
  const killed = [first];
  for (let round = 0; round < 3; round += 1) {
    const writer = killed.at(-1)!;
    // The reader's next hundred looks: time passes by what happens, not by a clock.
    await once(reader.stdout!, 'data');
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    killed.push(await start(t, 'endless-writer.ts', directory));
  }
  killed.at(-1)!.kill('SIGKILL');
  await once(killed.at(-1)!, 'exit');
  reader.stdin!.end();
  await once(reader, 'exit');
  assert.equal(reader.exitCode, 0);

  await writerOf(directory).write(setOf({ a: '1' }), ALWAYS);
  await writerOf(directory).write(setOf({ a: '1' }), ALWAYS);
  assert.deepEqual(readAll(directory), { a: '1' });
  assert.deepEqual(leftoversOf(directory), []);
});
