/**
 * The processes of other containers of the pod. Only reads `/proc`.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Whether no other container of the pod has a running process. Known only in a pod that shares its process namespace;
 * otherwise false. Never rejects.
 */
export async function isLastRunningContainer(
  directory = '/proc',
  pid = process.pid,
): Promise<boolean> {
  // In its own namespace this process is PID 1. In a shared one that is the pod's sandbox, and the parent of each
  // container's first process is outside of the namespace.
  if (pid === 1 || (await parentOf(directory, pid)) !== 0) return false;
  const names = await readdir(directory).catch(() => []);
  const others = names.map(Number).filter((other) => other > 1 && other !== pid);
  const parents = await Promise.all(others.map((other) => parentOf(directory, other)));
  return parents.every((parent) => parent === undefined || parent === pid);
}

/** Undefined for a process that has ended, including zombies. */
async function parentOf(directory: string, pid: number): Promise<number | undefined> {
  const stat = await readFile(join(directory, `${pid}`, 'stat'), 'latin1').catch(() => '');
  // The second field, the name in parentheses, can hold anything: spaces, parentheses, line ends.
  const [state = 'X', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ['Z', 'X'].includes(state) || parent === undefined ? undefined : Number(parent);
}
