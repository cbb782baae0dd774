/**
 * Everything of the cluster on this machine lives below one directory, one network namespace and one cgroup, so
 * that what a killed run left behind can be found and taken away.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Short, because Unix sockets below it have at most 107 characters. */
export const WORKSPACE = join(tmpdir(), 'vouchsafe-cluster');

/** The cluster's network namespace. */
export const NETWORK = 'vouchsafe';

/** Parent of the pods' cgroups, in each controller. */
export const CGROUP = '/vouchsafe';

const CGROUP_ROOT = '/sys/fs/cgroup';

/** The cluster's weight beside a single process of the machine, which has 1024. */
const CPU_WEIGHT = 4096;

/** A path below the workspace; its directory is made. */
export function place(...names: string[]): string {
  const path = join(WORKSPACE, ...names);
  mkdirSync(join(path, '..'), { recursive: true });
  return path;
}

/** A directory below the workspace. */
export function directory(...names: string[]): string {
  const path = join(WORKSPACE, ...names);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Puts a process where systemd has services: in a group of its own beside that of the pods, neither starves the other. */
export function joinServices(pid: number): void {
  const top = join(CGROUP_ROOT, 'cpu', CGROUP);
  const services = join(top, 'services');
  mkdirSync(services, { recursive: true });
  writeFileSync(join(top, 'cpu.shares'), String(CPU_WEIGHT));
  writeFileSync(join(services, 'cgroup.procs'), String(pid));
}

/** Ends every process of the cluster, takes its mounts, cgroups and network away, then the directory. */
export async function sweep(): Promise<void> {
  await endProcesses();
  unmountBelow(WORKSPACE);
  removeCgroups();
  // A machine that never had a network namespace has no such directory either.
  if (existsSync(join('/run/netns', NETWORK))) run('ip', ['netns', 'delete', NETWORK]);
  rmSync(WORKSPACE, { recursive: true, force: true });
}

/** Ends the containers of all pods, and the programs of containerd that watch them. */
export async function endPods(): Promise<void> {
  await endAll(() => [
    ...ownProcesses().filter((pid) => commandLine(pid).includes('containerd-shim')),
    ...podProcesses(),
  ]);
}

/** Processes in the pods' cgroups or the network, and those that carry the workspace in their command line. */
async function endProcesses(): Promise<void> {
  await endAll(() => [...podProcesses(), ...networkProcesses(), ...ownProcesses()]);
}

async function endAll(find: () => readonly number[]): Promise<void> {
  for (let round = 0; round < 300; round += 1) {
    const found = new Set(find());
    if (found.size === 0) return;
    for (const pid of found) tryQuietly(() => process.kill(pid, 'SIGKILL'));
    await delay(100);
  }
  throw new Error('processes of the cluster do not end');
}

function ownProcesses(): readonly number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid)
    .filter((pid) => commandLine(pid).includes(WORKSPACE));
}

function commandLine(pid: number): string {
  return tryQuietly(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '';
}

/** The suite's own, besides; the one that sweeps may be among them. */
function networkProcesses(): readonly number[] {
  const ask = (): string =>
    execFileSync('ip', ['netns', 'pids', NETWORK], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  return (tryQuietly(ask) ?? '')
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid);
}

function podProcesses(): readonly number[] {
  return cgroups('pids').flatMap((path) =>
    (tryQuietly(() => readFileSync(join(path, 'cgroup.procs'), 'utf8')) ?? '')
      .split('\n')
      .filter(Boolean)
      .map(Number),
  );
}

/** Deepest first. */
function cgroups(controller: string): readonly string[] {
  const top = join(CGROUP_ROOT, controller, CGROUP);
  const below = tryQuietly(() => readdirSync(top, { recursive: true, withFileTypes: true })) ?? [];
  const paths = below
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  return tryQuietly(() => readdirSync(top)) === undefined
    ? []
    : [...paths.sort((one, other) => other.length - one.length), top];
}

/** All of them that nothing runs in. */
export function removeCgroups(): void {
  for (const controller of readdirSync(CGROUP_ROOT)) {
    for (const path of cgroups(controller)) tryQuietly(() => rmdirSync(path));
  }
}

/** Takes all mounts below a directory away. One of a shared tree may go along with another. */
export function unmountBelow(path: string): void {
  for (let left = mountsBelow(path); left.length > 0;) {
    for (const mount of left) tryQuietly(() => run('umount', ['--lazy', mount]));
    const still = mountsBelow(path);
    if (still.length >= left.length) throw new Error(`cannot unmount ${still.join(', ')}`);
    left = still;
  }
}

/** Deepest first. */
function mountsBelow(path: string): readonly string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((target) => target.startsWith(`${path}/`))
    .reverse();
}

function run(command: string, args: readonly string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function tryQuietly<T>(operation: () => T): T | undefined {
  try {
    return operation();
  } catch {
    return undefined;
  }
}
