/**
 * The stand-in for the application; restarted when it exits, as by the kubelet.
 */
import { fileURLToPath } from 'node:url';
import { CONTAINER_VARIABLE } from '../../admission/index.ts';
import { startChild, type Child } from './child-process.ts';
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
  const command = [process.execPath, ...EXIT_WITH_PARENT, SCRIPT] as const;
  let isStopping = false;
  let child: Child;
  const start = (): void => {
    child = startChild(command, {
      env: { [CONTAINER_VARIABLE]: name },
      onLine(line) {
        if (line.startsWith('listening ')) listening.resolve(Number(line.slice(10)));
        else onNotified(line);
      },
    });
    child.exited.then(
      () => {
        if (isStopping) return;
        onNotified('restarted');
        start();
      },
      (error: unknown) => listening.reject(error),
    );
  };
  start();
  const port = await listening.promise;
  return {
    port,
    async stop() {
      isStopping = true;
      await child.stop();
    },
  };
}
