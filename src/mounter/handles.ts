/**
 * Directories on the way to a target, each one opened by its name in the one before, and never through a symbolic
 * link: what is done by a handle is done to the directory that was looked at, whatever its name stands for by then.
 * Plain system calls: each of them takes microseconds.
 */
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../core/index.ts';
import { BETWEEN, TARGET, type Place } from './place.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/** An open directory; whoever opened it disposes of it. */
export interface Handle extends Disposable {
  readonly descriptor: number;
}

/** Opens the directory of a volume, which the kubelet makes. @throws the system's error; `ENOENT` where it is missing. */
export function openVolume(pods: string, { pod, volume }: Place): Handle {
  // That one is a setting of whoever installed this; a link there is theirs.
  let handle = handleOf(openSync(pods, O_RDONLY | O_DIRECTORY));
  for (const name of [pod, ...BETWEEN, volume]) {
    using parent = handle;
    handle = openChild(parent, name);
  }
  return handle;
}

/** Opens the target, or what is mounted there. @throws the system's error; `ENOENT` where it is missing. */
export function openTarget(volume: Handle): Handle {
  return openChild(volume, TARGET);
}

/** Makes the target; false where there is something already. */
export function makeTarget(volume: Handle): boolean {
  try {
    mkdirSync(pathOf(volume, TARGET), { mode: 0o750 });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the target where it is there. Never more than an empty directory: what is in another one is somebody's. */
export function removeTarget(volume: Handle): void {
  try {
    rmdirSync(pathOf(volume, TARGET));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Whether there is something by the name of the target, a dangling link included. */
export function hasTarget(volume: Handle): boolean {
  return lstatSync(pathOf(volume, TARGET), { throwIfNoEntry: false }) !== undefined;
}

/** Whether a directory has no entries. */
export function isEmpty({ descriptor }: Handle): boolean {
  return readdirSync(`/proc/self/fd/${descriptor}`).length === 0;
}

function openChild(parent: Handle, name: string): Handle {
  return handleOf(openSync(pathOf(parent, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

/** Node has no `openat` and its kin, but the kernel resolves such a path through the open handle. */
function pathOf({ descriptor }: Handle, name: string): string {
  return join('/proc/self/fd', String(descriptor), name);
}

function handleOf(descriptor: number): Handle {
  return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
}
