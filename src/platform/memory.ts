/**
 * How much memory this process may have. Ring: platform.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * The least limit of the control groups (version 2) that this process is in, in bytes; undefined where there is none.
 * A privileged container may see the groups of the whole node: its own one is told by its process.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
 */
export async function memoryLimit(
  root = '/sys/fs/cgroup',
  self = '/proc/self/cgroup',
): Promise<number | undefined> {
  const [, own] = /^0::(\/.*)$/m.exec(await textOf(self)) ?? [];
  let least: number | undefined;
  for (let group = own; group !== undefined; group = group === '/' ? undefined : dirname(group)) {
    const text = await textOf(join(root, group, 'memory.max'));
    const bytes = /^\d+$/.test(text.trim()) ? Number(text) : Infinity;
    if (bytes < (least ?? Infinity)) least = bytes;
  }
  return least;
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => ''); // there is no such group here, or no such system
}
