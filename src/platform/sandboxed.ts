/**
 * Starts a program of ours in a process that can do next to nothing: no network, no files, no environment, no other
 * process, no more descriptors than its pipes, and it ends with this process. It sees to that itself (lockdown.ts), and is
 * sent nothing before.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Logger } from '../core/index.ts';
import { canLockDown, parseReport } from './lockdown.ts';

/** What is kept of what a child says before it is sent anything; nothing of its work is in it. */
const MAX_REPORT_CHARS = 1024;

/** In pages, as /proc tells it. */
const PAGE_BYTES = 4096;

/** A program of ours that calls `lockDown` with the last of its words. */
export interface SandboxedProgram {
  /** The file that Node runs, and words for it; the id of this process is added. */
  readonly args: readonly string[];
  /** The one directory that it may read until it is locked up. */
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

/**
 * Makes the function that starts such children. A child that does not lock itself up where it could is not refused, and
 * not passed over either: the log tells it, once for each reason.
 */
export function sandboxed(
  program: SandboxedProgram,
  logger: Logger,
): (events: SandboxedEvents) => SandboxedChild {
  let known = '';
  const found = (lacks: string): void => {
    if (lacks !== '' && lacks !== known) {
      logger.error('processes that render are not locked up', { lacks });
    }
    known = lacks;
  };
  return (events) => {
    const words = [...nodeFlags(program), ...program.args, String(process.pid)];
    const child = spawn(process.execPath, words, { stdio: 'pipe', env: {} });
    let waiting: (readonly Uint8Array[])[] | undefined = []; // until it is locked up
    let said = '';
    child.stdin.on('error', () => undefined); // its end is told below
    child.stderr.on('data', (text: Buffer) => {
      if (waiting === undefined) return;
      said = (said + text.toString()).slice(0, MAX_REPORT_CHARS);
      const lacks = parseReport(said);
      if (lacks === undefined) return;
      found(lacks);
      for (const chunks of waiting) write(child, chunks);
      waiting = undefined;
    });
    child.stdout.on('data', (chunk: Buffer) => events.received(chunk));
    const ended = (how: string): void =>
      events.ended(waiting === undefined ? how : `${how}: ${said.trim().replaceAll(/\s+/g, ' ')}`);
    // A program that is missing gives an error and no exit.
    child.once('error', () => ended('it cannot be started'));
    child.once('close', (code, signal) => {
      if (child.pid !== undefined) ended(signal ?? `exit code ${code}`);
    });
    return {
      send(chunks) {
        if (waiting === undefined) write(child, chunks);
        else waiting.push(chunks);
      },
      kill: () => void child.kill('SIGKILL'),
      residentBytes: () => residentBytes(child.pid),
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
    ...(canLockDown() ? ['--allow-ffi'] : []),
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
