/** A process under measurement, as the kernel accounts for it. Linux alone. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';

/** Program and arguments. */
export type Command = readonly [program: string, ...args: string[]];

/** Memory of a process, in MiB. */
export interface Memory {
  readonly rss: number;
  readonly privateDirty: number;
}

/** Most of what a process prints that is kept, for the report of a failure. */
const MAX_OUTPUT = 64_000;

/** A child process. Dispose of it to end it. */
export class Measured implements AsyncDisposable {
  /** What it printed last. */
  output = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor([program, ...args]: Command, env: Readonly<Record<string, string>>, cwd: string) {
    this.#child = spawn(program, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-MAX_OUTPUT);
      });
    }
    this.#ended = once(this.#child, 'close');
    this.#ended.catch(() => undefined); // seen by the caller that waits for the end
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /**
   * CPU time so far of the process and of its children that live, in milliseconds, from the scheduler: exact, where the clock
   * ticks of `stat` are 10 ms.
   */
  cpuMs(): number {
    const pid = this.#child.pid ?? 0;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    return [String(pid), ...children.filter(Boolean)].map(cpuMsOf).reduce((a, b) => a + b, 0);
  }

  /** Largest resident size so far, in MiB. */
  peakRss(): number {
    return kib(readFileSync(this.#proc('status'), 'utf8'), 'VmHWM') / 1024;
  }

  memory(): Memory {
    const rollup = readFileSync(this.#proc('smaps_rollup'), 'utf8');
    return { rss: kib(rollup, 'Rss') / 1024, privateDirty: kib(rollup, 'Private_Dirty') / 1024 };
  }

  /** Waits for its own end; gives the exit code. */
  async exit(): Promise<number | null> {
    await this.#ended;
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasEnded) this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #proc(name: string): string {
    return `/proc/${this.#child.pid ?? 0}/${name}`;
  }
}

function cpuMsOf(pid: string): number {
  try {
    const spent = readdirSync(`/proc/${pid}/task`).map((task) => {
      const [ns] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
      return Number(ns);
    });
    return spent.reduce((sum, each) => sum + each, 0) / 1e6;
  } catch {
    return 0; // a process or a thread that has just ended
  }
}

function kib(text: string, field: string): number {
  const [, value] = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text) ?? [];
  if (value === undefined) throw new Error(`the kernel does not report ${field}`);
  return Number(value);
}
