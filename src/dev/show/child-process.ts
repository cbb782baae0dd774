/**
 * A process of the demo, whose lines are read.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { VouchsafeError } from '../../core/index.ts';
import { raceAbort } from '../../async/index.ts';

/** Time to stop in order; an agent revokes its credentials in it. */
const STOP_TIMEOUT_MS = 10_000;

/** A command with its arguments. */
export type Command = readonly [program: string, ...args: string[]];

export interface ChildOptions {
  /** Default none. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called for each line of standard output and standard error. */
  readonly onLine: (line: string, stream: 'stdout' | 'stderr') => void;
}

/** A running process. */
export interface Child {
  /** Resolves to the exit code; rejects if the process cannot be started. */
  readonly exited: Promise<number>;
  /** Stops it as the kubelet does: SIGTERM, then SIGKILL. Resolves when it has exited. */
  stop(): Promise<void>;
}

/** Starts a process. */
export function startChild([program, ...args]: Command, options: ChildOptions): Child {
  const child = spawn(program, args, {
    env: { ...options.env },
    stdio: 'pipe',
    // Outside of the terminal's process group: Ctrl-C goes to the demo, which stops its processes in order.
    detached: true,
  });
  const exited = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(new VouchsafeError('ERR_BUG', `${program} cannot be started`, { cause }));
    });
    child.on('exit', (code) => resolve(code ?? 1));
  });
  exited.catch(() => undefined); // reported to callers that wait for it
  for (const stream of ['stdout', 'stderr'] as const) {
    createInterface({ input: child[stream] }).on('line', (line) => options.onLine(line, stream));
  }
  return {
    exited,
    async stop() {
      child.kill('SIGTERM');
      try {
        await raceAbort(exited, AbortSignal.timeout(STOP_TIMEOUT_MS));
      } catch {
        child.kill('SIGKILL');
        await exited.catch(() => undefined);
      }
    },
  };
}
