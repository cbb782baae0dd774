/**
 * The streams, files and environment of a command.
 */
import { readdir, readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { systemClock, systemRandom } from './clock.ts';
import { environmentVariable, printError } from './process.ts';

/** The real ones of this process; see `Io` of src/cli. */
export function createIo(): {
  readonly out: (data: string | Uint8Array) => void;
  readonly printError: (line: string) => void;
  readonly read: (path: string) => Promise<string>;
  readonly list: (path: string) => Promise<readonly string[] | undefined>;
  readonly variable: (name: string) => string | undefined;
  readonly isTerminal: boolean;
  readonly clock: typeof systemClock;
  readonly random: typeof systemRandom;
} {
  return {
    out: (data) => void process.stdout.write(data),
    printError,
    read: (path) => (path === '-' ? text(process.stdin) : readFile(path, 'utf8')),
    list,
    variable: environmentVariable,
    isTerminal: process.stdout.isTTY,
    clock: systemClock,
    random: systemRandom,
  };
}

/** What cannot be listed is reported when it is read. */
async function list(path: string): Promise<readonly string[] | undefined> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((one) => !one.isDirectory()).map(({ name }) => name);
  } catch {
    return undefined;
  }
}
