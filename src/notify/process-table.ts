/**
 * Finds the main process of a container in a shared process namespace. Only reads `/proc`.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, VouchsafeError } from '../core/index.ts';

/** The variable that the webhook sets in containers to notify; its value is the container's name. */
const CONTAINER_ENV = 'VOUCHSAFE_CONTAINER';

/** A process; its start time distinguishes it from a later one with the same PID. */
export interface ContainerProcess {
  readonly pid: number;
  readonly parentPid: number;
  /** In ticks since boot. */
  readonly startTicks: number;
}

/**
 * The main process of a container: the oldest process with its variable whose parent does not have it. Processes of
 * `kubectl exec` have the variable, too, but start later.
 *
 * A process can choose its environment, but not its control group, which is that of its container. If several
 * containers have processes with the variable, one poses as another: the main process of each is returned, so that the
 * right one is never missing.
 *
 * Rejects with `ERR_NOTIFY_TARGET` if no process is found, or none may be inspected.
 */
export async function findContainerProcesses(
  procDirectory: string,
  container: string,
): Promise<readonly ContainerProcess[]> {
  const marked: (ContainerProcess & { readonly group: string })[] = [];
  let hidden = 0;
  for (const pid of await listProcesses(procDirectory)) {
    const isMarked = await hasContainerEnv(procDirectory, pid, container);
    if (isMarked === undefined) hidden += 1;
    if (isMarked !== true) continue;
    const process = await readProcess(procDirectory, pid);
    const group = await readGroup(procDirectory, pid);
    // The reads may be of two processes: one that ended, and one that has its PID now.
    const isStill = (await hasContainerEnv(procDirectory, pid, container)) === true;
    if (process === undefined || !isStill || !(await isAlive(procDirectory, process))) continue;
    marked.push({ ...process, group });
  }
  const pids = new Set(marked.map(({ pid }) => pid));
  const groups = new Set<string>();
  const mains = marked
    .filter(({ parentPid }) => !pids.has(parentPid))
    .sort((a, b) => a.startTicks - b.startTicks)
    .filter(({ group }) => {
      const isOldest = !groups.has(group);
      groups.add(group);
      return isOldest;
    });
  if (mains.length === 0) throw notFound(container, hidden);
  return mains;
}

/** Whether this process still runs; a zombie does not. */
export async function isAlive(procDirectory: string, process: ContainerProcess): Promise<boolean> {
  const now = await readProcess(procDirectory, process.pid);
  return now?.startTicks === process.startTicks;
}

/** The remedy if this process may not inspect or signal another one. */
export const EQUAL_UIDS =
  'agent and container must run with equal UIDs (see run-as-user), and the container without capabilities';

function notFound(container: string, hidden: number): VouchsafeError {
  const reason =
    hidden === 0
      ? 'it is not running, or the pod does not set shareProcessNamespace'
      : `it is not running, or is among ${hidden} processes of other users: ${EQUAL_UIDS}`;
  const message = `no process of container ${container} found: ${reason}`;
  return new VouchsafeError('ERR_NOTIFY_TARGET', message, { details: { container } });
}

async function listProcesses(procDirectory: string): Promise<number[]> {
  const names = await readdir(procDirectory).catch(() => []);
  return names.filter((name) => /^[1-9]\d*$/.test(name)).map(Number);
}

/**
 * The value of a variable with which the main process of a container has started; undefined if it has none, is not running, or may
 * not be inspected.
 */
export async function environmentOf(
  procDirectory: string,
  container: string,
  variable: string,
): Promise<string | undefined> {
  try {
    const [main] = await findContainerProcesses(procDirectory, container);
    const variables = await readEnvironment(procDirectory, main?.pid ?? 0);
    return variables.find((one) => one.startsWith(`${variable}=`))?.slice(variable.length + 1);
  } catch {
    return undefined;
  }
}

async function readEnvironment(procDirectory: string, pid: number): Promise<readonly string[]> {
  const environment = await readFile(join(procDirectory, `${pid}`, 'environ'), 'latin1');
  return environment.split('\0');
}

/** Undefined if this process may not read the environment. */
async function hasContainerEnv(
  procDirectory: string,
  pid: number,
  container: string,
): Promise<boolean | undefined> {
  try {
    const variables = await readEnvironment(procDirectory, pid);
    return variables.includes(`${CONTAINER_ENV}=${container}`);
  } catch (error) {
    return ['EACCES', 'EPERM'].includes(codeOf(error) ?? '') ? undefined : false;
  }
}

/** The control group, which identifies the container; empty if the system shows none. */
async function readGroup(procDirectory: string, pid: number): Promise<string> {
  return await readFile(join(procDirectory, `${pid}`, 'cgroup'), 'latin1').catch(() => '');
}

/** Undefined if the process has ended. */
async function readProcess(
  procDirectory: string,
  pid: number,
): Promise<ContainerProcess | undefined> {
  const stat = await readFile(join(procDirectory, `${pid}`, 'stat'), 'latin1').catch(() => '');
  // The second field, the name in parentheses, can hold anything: spaces, parentheses, line ends.
  const [state, parentPid, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTicks = rest[17];
  if (parentPid === undefined || startTicks === undefined || state === 'Z' || state === 'X') {
    return undefined;
  }
  return { pid, parentPid: Number(parentPid), startTicks: Number(startTicks) };
}
