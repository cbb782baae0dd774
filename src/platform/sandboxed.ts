/**
 * Starts a program of this project in a sandboxed process: no network, files, environment or other processes, no
 * descriptors but its pipes, and it ends with this process. It locks itself down (lockdown.ts) and receives no input
 * before that.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { StartChild } from '../contracts/index.ts';
import type { Logger } from '../core/index.ts';
import { canLockDown, parseReport } from './lockdown.ts';

/** Limit of stderr that is kept, until the child is locked down; it contains nothing of its work. */
const MAX_REPORT_CHARS = 1024;

/** The unit of /proc/PID/statm. */
const PAGE_BYTES = 4096;

/** A program of this project that calls `lockDown` with its last argument. */
export interface SandboxedProgram {
  /** The file for Node and its arguments; the PID of this process is appended. */
  readonly args: readonly string[];
  /** The only directory that it may read before it is locked down. */
  readonly directory: string;
  /** Limit of V8's heap, in bytes. */
  readonly heapBytes: number;
}

/**
 * Creates a function that starts such children. A child that cannot lock itself down is still used; an error is logged
 * once for each reason.
 */
export function sandboxed(program: SandboxedProgram, logger: Logger): StartChild {
  let known = '';
  const reportLockdown = (lacks: string): void => {
    if (lacks !== '' && lacks !== known) {
      logger.error('rendering processes are not locked down', { lacks });
    }
    known = lacks;
  };
  return (events) => {
    const args = [...nodeFlags(program), ...program.args, String(process.pid)];
    const child = spawn(process.execPath, args, { stdio: 'pipe', env: {} });
    let waiting: (readonly Uint8Array[])[] | undefined = []; // until it is locked down
    let stderr = '';
    child.stdin.on('error', () => undefined); // its end is reported below
    child.stderr.on('data', (text: Buffer) => {
      if (waiting === undefined) return;
      stderr = (stderr + text.toString()).slice(0, MAX_REPORT_CHARS);
      const lacks = parseReport(stderr);
      if (lacks === undefined) return;
      reportLockdown(lacks);
      for (const chunks of waiting) write(child, chunks);
      waiting = undefined;
    });
    child.stdout.on('data', (chunk: Buffer) => events.received(chunk));
    const ended = (how: string): void =>
      events.ended(
        waiting === undefined ? how : `${how}: ${stderr.trim().replaceAll(/\s+/g, ' ')}`,
      );
    // A missing program emits 'error' and no exit.
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
