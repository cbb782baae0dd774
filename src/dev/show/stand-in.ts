/**
 * The stand-in for the application; restarted when it exits, as by the kubelet.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CONTAINER_VARIABLE } from '../../admission/index.ts';
import { EXIT_WITH_PARENT } from './exiting-with-parent.ts';

const SCRIPT = fileURLToPath(new URL('./application.ts', import.meta.url));

/** A running stand-in. */
export interface StandIn {
  /** Where it listens for HTTP notifications. */
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts the stand-in of the container `name`; `onNotified` is called with each notification. */
export async function startStandIn(
  name: string,
  onNotified: (what: string) => void,
): Promise<StandIn> {
  const listening = Promise.withResolvers<number>();
  let isStopping = false;
  let child: ChildProcess;
  const start = (): void => {
    const started = spawn(process.execPath, [...EXIT_WITH_PARENT, SCRIPT], {
      env: { [CONTAINER_VARIABLE]: name },
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    child = started;
    createInterface({ input: started.stdout }).on('line', (line) => {
      if (line.startsWith('listening ')) listening.resolve(Number(line.slice('listening '.length)));
      else onNotified(line);
    });
    started.on('error', (error) => listening.reject(error));
    started.on('exit', () => {
      if (isStopping) return;
      onNotified('restarted');
      start();
    });
  };
  start();
  const port = await listening.promise;
  return {
    port,
    async stop() {
      isStopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}
