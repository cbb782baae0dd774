/** Long-running programs of the cluster, each with a log of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { place, WORKSPACE } from './workspace.ts';

const PATIENCE_MS = 120_000;

/** A program under way. */
export interface Running {
  readonly name: string;
  readonly child: ChildProcess;
  readonly log: string;
  /** SIGTERM, and SIGKILL when that does not help within ten seconds. */
  stop(): Promise<void>;
}

/** Starts a program. */
export function start(
  name: string,
  command: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Running {
  const log = place('logs', `${name}.log`);
  const output = openSync(log, 'a');
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    stdio: ['ignore', output, output],
    // A proxy of the machine must not come between the parts of the cluster.
    env: { PATH: process.env['PATH'] ?? '', HOME: WORKSPACE, ...environment },
  });
  closeSync(output);
  const ended = once(child, 'exit');
  ended.catch(() => undefined);
  return {
    name,
    child,
    log,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Waits until a program is of use; its end or two minutes without are an error with the end of its log. */
export async function ready(
  running: Running,
  isReady: () => Promise<boolean> | boolean,
): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const { exitCode, signalCode } = running.child;
    if (exitCode !== null || signalCode !== null) throw failure(running, 'ended');
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
