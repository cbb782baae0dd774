import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isLastRunningContainer } from '../../../src/platform/index.ts';
import { tempDirectory } from '../../helpers/temp-directory.ts';

/** A process: its number, its parent, its state. */
type Process = readonly [pid: number, parent: number, state?: string];

const PAUSE: Process = [1, 0];
const AGENT: Process = [20, 0];

/** A directory like `/proc` of these processes. */
function proc(t: TestContext, processes: readonly Process[]): string {
  const directory = tempDirectory(t);
  writeFileSync(join(directory, 'uptime'), '');
  for (const [pid, parent, state = 'S'] of processes) {
    mkdirSync(join(directory, `${pid}`));
    writeFileSync(join(directory, `${pid}`, 'stat'), `${pid} (a) R (b)) ${state} ${parent} 1 1 0`);
  }
  return directory;
}

for (const [name, processes, expected] of [
  ['the sandbox alone is left', [PAUSE, AGENT], true],
  ['the application runs', [PAUSE, AGENT, [30, 0]], false],
  ['a child of the application runs', [PAUSE, AGENT, [31, 1]], false],
  ['the application has ended and nobody has looked at it yet', [PAUSE, AGENT, [30, 0, 'Z']], true],
  ['this process has a child', [PAUSE, AGENT, [21, 20]], true],
  ['a process namespace of its own, with a wrapper', [PAUSE, [20, 1]], false],
  ['its own state cannot be read', [PAUSE], false],
] as const) {
  test(`${name}: ${expected ? 'alone' : 'not known to be alone'}`, async (t) => {
    assert.equal(await isLastRunningContainer(proc(t, processes), 20), expected);
  });
}

test('the first process of a namespace of its own sees nobody, and is not alone for that', async (t) => {
  assert.equal(await isLastRunningContainer(proc(t, [[1, 0]]), 1), false);
});

test('beside the processes of this machine it is not alone', async () => {
  assert.equal(await isLastRunningContainer(), false);
});
