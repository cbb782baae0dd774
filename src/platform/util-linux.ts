/**
 * Runs programs of util-linux for operations that Node does not have: mount, umount, flock.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Each takes about a millisecond; a program that hangs must not block a node. */
const TIMEOUT_MS = 10_000;

/** Limit of a program's stderr that is kept. */
const MAX_STDERR_BYTES = 4096;

/** The directories of the programs, in the image and elsewhere; messages in English. */
export const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };

/** The result of a program. */
export interface ProgramResult {
  /** Null if it was ended by a signal. */
  readonly code: number | null;
  /** Its stderr, otherwise how it ended, in one line. */
  readonly message: string;
}

/**
 * Runs a program to its end. It inherits `descriptor`, an open file of this process, as descriptor 3.
 *
 * @throws the system's error if it cannot be started, `ENOENT` if it is missing.
 */
export async function runProgram(
  program: 'mount' | 'umount' | 'flock',
  args: readonly string[],
  descriptor?: number,
): Promise<ProgramResult> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'pipe', ...(descriptor === undefined ? [] : [descriptor])],
    env: ENVIRONMENT,
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  let stderr = '';
  // The type does not know that the third stream is a pipe.
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, MAX_STDERR_BYTES);
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]; // its documented arguments
  const how = signal === null ? `exit code ${code}` : `ended by ${signal}`;
  return { code, message: stderr.trim().replaceAll(/\s+/g, ' ') || `${program}: ${how}` };
}
