/** Long-running programs of the cluster, each with a log of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { joinServices, place, WORKSPACE } from './workspace.ts';

const PATIENCE_MS = 120_000;

/** A program under way. */
export class Running {
  readonly name: string;
  readonly log: string;
  readonly #command: readonly string[];
  readonly #environment: NodeJS.ProcessEnv;
  #child: ChildProcess;

  constructor(name: string, command: readonly string[], environment: NodeJS.ProcessEnv) {
    this.name = name;
    this.log = place('logs', `${name}.log`);
    this.#command = command;
    this.#environment = environment;
    this.#child = this.#spawn();
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** SIGTERM, or another signal, and SIGKILL when that does not help within ten seconds. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.hasEnded) return;
    const child = this.#child;
    const ended = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
  }

  /** The same command again, where it has been stopped. */
  start(): void {
    if (this.hasEnded) this.#child = this.#spawn();
  }

  #spawn(): ChildProcess {
    const output = openSync(this.log, 'a');
    const [program = '', ...args] = this.#command;
    const child = spawn(program, args, {
      stdio: ['ignore', output, output],
      // A proxy of the machine must not come between the parts of the cluster.
      env: { PATH: process.env['PATH'] ?? '', HOME: WORKSPACE, ...this.#environment },
    });
    closeSync(output);
    child.on('error', () => undefined); // ready() reports it
    if (child.pid !== undefined) joinServices(child.pid);
    return child;
  }
}

/** Starts a program. */
export function start(
  name: string,
  command: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Running {
  return new Running(name, command, environment);
}

/** Waits until a program is of use; its end or two minutes without are an error with the end of its log. */
export async function ready(
  running: Running,
  isReady: () => Promise<boolean> | boolean,
): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    if (running.hasEnded) throw failure(running, 'ended');
    if (performance.now() > end) throw failure(running, 'does not become ready');
    // What it throws means "not yet".
    if (await Promise.try(isReady).catch(() => false)) return;
    await delay(100);
  }
}

function failure({ name, log }: Running, what: string): Error {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-15);
  return new Error(`${name} ${what}:\n${lines.join('\n')}`);
}
