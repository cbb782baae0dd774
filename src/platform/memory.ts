/**
 * The memory limit of this process.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Without a limit, version 1 reports the largest number of pages, which depends on their size. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/** Files of the kernel; default: those of this process. */
export interface MemoryLimitSources {
  readonly root?: string;
  readonly self?: string;
}

/**
 * The smallest limit of this process's control groups, of either version, in bytes; undefined if there is none, or none
 * can be read. A privileged container may see the groups of the whole node: its own is found by its process. On version
 * 1 a container may see only its own group, at the root, but with the node's path for it.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
 */
export async function memoryLimit({
  root = '/sys/fs/cgroup',
  self = '/proc/self/cgroup',
}: MemoryLimitSources = {}): Promise<number | undefined> {
  const limits: number[] = [];
  for (const line of (await textOf(self)).split('\n')) limits.push(...(await limitsOf(line, root)));
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** Limits of the group in a line of `/proc/self/cgroup`, and of its parents; none if it is not one of memory. */
async function limitsOf(line: string, root: string): Promise<readonly number[]> {
  const [, controllers = '', group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
  if (group === undefined) return [];
  if (controllers === '') return limitsUpTo(root, group, 'memory.max');
  if (!controllers.split(',').includes('memory')) return [];
  return limitsUpTo(join(root, 'memory'), group, 'memory.limit_in_bytes');
}

/** Limits of a group and its parents. */
async function limitsUpTo(root: string, group: string, file: string): Promise<readonly number[]> {
  const limits: number[] = [];
  for (let one = group; ; one = dirname(one)) {
    const text = (await textOf(join(root, one, file))).trim();
    const bytes = /^\d+$/.test(text) ? Number(text) : NO_LIMIT;
    if (bytes < NO_LIMIT) limits.push(bytes);
    if (one === '/') return limits;
  }
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => ''); // no such group, or not Linux
}
