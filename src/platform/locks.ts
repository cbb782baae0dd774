/**
 * Locks of the kernel between processes of one machine, by `flock` of util-linux.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { runProgram } from './util-linux.ts';

/** Exit code of `flock` where another one has the lock; all others are errors. */
const CONFLICT_EXIT_CODE = 75;

/** A lock that is held. */
export interface Lock {
  release(): Promise<void>;
}

/** Locking. */
export interface Locks {
  /**
   * Locks a directory without waiting; undefined where another one has it. The lock belongs to the open file, and so
   * to this process however it ends, not to the program that took it.
   *
   * @throws the system's error, or a {@link LockError} with the words of `flock`.
   */
  tryLock(directory: string): Promise<Lock | undefined>;
}

/** Why `flock` did not do it. */
export class LockError extends Error {
  override readonly name = 'LockError';
}

/** The real ones. */
export const systemLocks: Locks = {
  async tryLock(directory) {
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
    const file = await open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    let isOurs = false;
    try {
      const how = ['--exclusive', '--nonblock', '--conflict-exit-code', String(CONFLICT_EXIT_CODE)];
      const { code, message } = await runProgram('flock', [...how, '3'], file.fd);
      isOurs = code === 0;
      if (isOurs) return { release: () => file.close() };
      if (code === CONFLICT_EXIT_CODE) return undefined;
      throw new LockError(message);
    } finally {
      if (!isOurs) await file.close();
    }
  },
};
