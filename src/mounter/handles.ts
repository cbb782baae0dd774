/**
 * Opens the directories on the path to a target one by one, each by its name in the one before, and never through a symbolic
 * link. An operation on a handle applies to the directory that was checked, even if its path has changed since. The system
 * calls are synchronous: each takes microseconds.
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

/** An open directory; the caller disposes of it. */
export interface Handle extends Disposable {
  readonly descriptor: number;
}

/** Opens the directory of a volume, which the kubelet creates. @throws the system's error; `ENOENT` if it is missing. */
export function openVolume(pods: string, { pod, volume }: Place): Handle {
  // The administrator configures this path, so a symbolic link in it is allowed.
  let handle = handleOf(openSync(pods, O_RDONLY | O_DIRECTORY));
  for (const name of [pod, ...BETWEEN, volume]) {
    using parent = handle;
    handle = openChild(parent, name);
  }
  return handle;
}

/** Opens the target, or what is mounted there. @throws the system's error; `ENOENT` if it is missing. */
export function openTarget(volume: Handle): Handle {
  return openChild(volume, TARGET);
}

/** Creates the target; false if the name exists already. */
export function makeTarget(volume: Handle): boolean {
  try {
    mkdirSync(pathOf(volume, TARGET), { mode: 0o750 });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the target if it exists. Only an empty directory is removed: files in it belong to somebody else. */
export function removeTarget(volume: Handle): void {
  try {
    rmdirSync(pathOf(volume, TARGET));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Whether the name of the target exists, even as a dangling link. */
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

/** Node has no `openat`, but the kernel resolves a path like this through the open directory. */
function pathOf({ descriptor }: Handle, name: string): string {
  return join('/proc/self/fd', String(descriptor), name);
}

function handleOf(descriptor: number): Handle {
  return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) };
}
