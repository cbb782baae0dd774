/**
 * File locks between processes of one machine, by `flock` of util-linux.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { runProgram } from './util-linux.ts';

/** Exit code of `flock` if another process has the lock; others are errors. */
const CONFLICT_EXIT_CODE = 75;

/** A held lock. */
export interface Lock {
  release(): Promise<void>;
}

/** Locks directories. */
export interface Locks {
  /**
   * Locks a directory without waiting; undefined if another process has the lock. The lock belongs to an open file of
   * this process, so the kernel releases it however the process ends.
   *
   * @throws the system's error, or a {@link LockError} with the message of `flock`.
   */
  tryLock(directory: string): Promise<Lock | undefined>;
}

/** `flock` failed. */
export class LockError extends Error {
  override readonly name = 'LockError';
}

/** The locks of the system. */
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
