/**
 * Runs the programs of util-linux that do what Node cannot: mount, umount, flock.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Each of them takes a millisecond; a program that hangs must not hold up a node. */
const TIMEOUT_MS = 10_000;

/** What is kept of what a program says. */
const MAX_STDERR_BYTES = 4096;

/** Where the programs are, in the image as elsewhere; messages in English. */
export const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };

/** How a program ended. */
export interface ProgramResult {
  /** Null where it was ended by a signal. */
  readonly code: number | null;
  /** What it said, or else how it ended, in one line. */
  readonly message: string;
}

/**
 * Runs a program to its end. `descriptor` is an open file of this process, which it gets as its fourth, number 3.
 *
 * @throws the system's error where it cannot be started, `ENOENT` where it is missing.
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
  let words = '';
  // Its fourth stream is a descriptor or nothing: the third one is a pipe.
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(0, MAX_STDERR_BYTES);
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]; // its documented arguments
  const how = signal === null ? `exit code ${code}` : `ended by ${signal}`;
  return { code, message: words.trim().replaceAll(/\s+/g, ' ') || `${program}: ${how}` };
}
