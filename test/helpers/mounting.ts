/** What others on a node do with mounts, by the programs of the system. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { NO_LOGGER } from '../../src/core/index.ts';
import { Mounter, type MounterOptions } from '../../src/mounter/index.ts';
import { systemMounts } from '../../src/platform/index.ts';
import { parseMountinfo } from '../../src/platform/mounts.ts';
import { tempDirectory } from './temp-directory.ts';

/** Unmounts whatever is there, in use or not. */
export function unmount(target: string): void {
  run('umount', ['-l', target]);
}

/** Mounts a tmpfs of somebody else. */
export function mountForeign(target: string): void {
  run('mount', ['-t', 'tmpfs', 'somebody', target]);
}

/** Mounts a tmpfs that is full before long. */
export function mountSmall(target: string, bytes: number): void {
  run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'small', target]);
}

/** A temporary directory; what is mounted below it when the test ends is unmounted. */
export function directoryWithMounts(t: TestContext): string {
  let root = '';
  t.after(() => {
    for (const target of mountsBelow(root)) unmount(target);
  });
  root = tempDirectory(t);
  return root;
}

/** Where something is mounted below a directory, the topmost last. */
export function mountsBelow(root: string): readonly string[] {
  const all = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  return all.map(({ target }) => target).filter((target) => target.startsWith(`${root}/`));
}

/** A mounter in this process; `root` is the kubelet's directory. */
export function mounterOf(root: string, more: Partial<MounterOptions> = {}): Mounter {
  return new Mounter({
    mounts: systemMounts,
    source: 'csi.vouchsafe.test',
    podsDirectory: join(root, 'pods'),
    maxBytes: 64 * 2 ** 20,
    logger: NO_LOGGER,
    ...more,
  });
}

function run(program: string, words: readonly string[]): void {
  const { status, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}
