/**
 * Starts a program of ours in a process that can do next to nothing: no network, no files but its own, no privileges, no
 * environment, no more descriptors than its pipes, and it ends with this process. Ring: platform.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Logger } from '../core/index.ts';
import { ENVIRONMENT } from './util-linux.ts';

/** What is kept of what a child says before it is heard for the first time; nothing of its work is in it. */
const MAX_WORDS = 1024;

/** Nobody's UID, by Linux's own convention. */
const NOBODY = '65534';

/** In pages, as /proc tells it. */
const PAGE_BYTES = 4096;

/** A program of ours. */
export interface SandboxedProgram {
  /** The file that Node runs, and words for it. */
  readonly words: readonly string[];
  /** The one directory that it may read. */
  readonly directory: string;
  /** Most that V8's heap may have, in bytes. */
  readonly heapBytes: number;
}

/** What a child is given; see `Child` of src/sandbox. */
export interface SandboxedEvents {
  received(chunk: Uint8Array): void;
  ended(how: string): void;
}

/** A child; see `Child` of src/sandbox. */
export interface SandboxedChild {
  send(chunks: readonly Uint8Array[]): void;
  kill(): void;
  residentBytes(): number | undefined;
}

/** A way to lock a child up, and what it lacks. */
interface Confinement {
  readonly command: readonly string[];
  /** What a child can still do; nothing where that is all taken away. */
  readonly lacks: string;
}

const NO_PRIVILEGES = ['setpriv', '--no-new-privs', '--pdeathsig=KILL'];
const NO_CAPABILITIES = ['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all'];

/** From the best to none; which of them this system allows is found by trying. */
const CONFINEMENTS: readonly Confinement[] = [
  {
    command: [
      ...['unshare', '--net', '--', ...NO_PRIVILEGES, ...NO_CAPABILITIES],
      ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--'],
    ],
    lacks: '',
  },
  {
    command: ['unshare', '--net', '--', ...NO_PRIVILEGES, ...NO_CAPABILITIES, '--'],
    lacks: 'a user of its own (may nobody read the program?)',
  },
  {
    command: ['unshare', '--user', '--net', '--', ...NO_PRIVILEGES, '--'],
    lacks: 'a user of its own',
  },
  {
    command: [...NO_PRIVILEGES, '--'],
    lacks: 'a network namespace and a user of its own',
  },
  {
    command: [],
    lacks:
      'a network namespace, a user of its own and no_new_privs (util-linux is missing), and does not end with a driver that is killed while it works',
  },
];

/**
 * Makes the function that starts such children. Which confinement the system allows is found out by the first ones: one
 * that ends before it is heard is started again under the next. What cannot be taken away is told to the log once.
 */
export function sandboxed(
  program: SandboxedProgram,
  logger: Logger,
): (events: SandboxedEvents) => SandboxedChild {
  const node = [process.execPath, ...nodeFlags(program), ...program.words];
  let level = 0;
  let isKnown = false;
  return (events) => {
    let isKilled = false;
    let current: ChildProcess | undefined;
    const begin = (at: number): ChildProcess => {
      const { command, lacks } = CONFINEMENTS[at] ?? { command: [], lacks: '' };
      const [first = process.execPath, ...rest] = [...command, ...node];
      const child = spawn(first, rest, { stdio: 'pipe', env: ENVIRONMENT });
      let words = '';
      let isHeard = false;
      child.stdin.on('error', () => undefined); // its end is told below
      child.stderr.on('data', (text: Buffer) => {
        if (!isHeard) words = (words + text.toString()).slice(0, MAX_WORDS);
      });
      child.stdout.on('data', (chunk: Buffer) => {
        if (!isHeard && !isKnown && lacks !== '') {
          logger.warn('processes that render are not locked up as they could be', { lacks });
        }
        isHeard = true;
        isKnown = true;
        level = at;
        events.received(chunk);
      });
      const ended = (how: string): void => {
        const isNext = !isHeard && !isKilled && !isKnown && at + 1 < CONFINEMENTS.length;
        if (isNext) current = again(at + 1);
        else events.ended(isHeard ? how : `${how}: ${words.trim().replaceAll(/\s+/g, ' ')}`);
      };
      // A program that is missing gives an error and no exit.
      child.once('error', () => ended('it cannot be started'));
      child.once('close', (code, signal) => {
        if (child.pid !== undefined) ended(signal ?? `exit code ${code}`);
      });
      return child;
    };
    const sent: (readonly Uint8Array[])[] = [];
    const again = (at: number): ChildProcess => {
      const child = begin(at);
      for (const chunks of sent) write(child, chunks);
      return child;
    };
    current = begin(level);
    return {
      send(chunks) {
        if (!isKnown) sent.push(chunks);
        if (current !== undefined) write(current, chunks);
      },
      kill() {
        isKilled = true;
        current?.kill('SIGKILL');
      },
      residentBytes: () => residentBytes(current?.pid),
    };
  };
}

function write({ stdin }: ChildProcess, chunks: readonly Uint8Array[]): void {
  if (stdin === null || stdin.destroyed) return;
  stdin.cork();
  for (const chunk of chunks) stdin.write(chunk);
  stdin.uncork();
}

function nodeFlags({ directory, heapBytes }: SandboxedProgram): readonly string[] {
  return [
    '--permission',
    `--allow-fs-read=${directory}`,
    `--max-old-space-size=${Math.floor(heapBytes / 2 ** 20)}`,
    '--max-semi-space-size=4',
    '--disallow-code-generation-from-strings',
    '--no-warnings',
  ];
}

function residentBytes(pid: number | undefined): number | undefined {
  try {
    const [, pages] = readFileSync(`/proc/${pid ?? ''}/statm`, 'latin1').split(' ');
    return Number(pages) * PAGE_BYTES;
  } catch {
    return undefined; // it has ended, or the system has no such file
  }
}
