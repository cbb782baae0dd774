/**
 * Signals and restarts containers by their main process. Ring: notify.
 */
import { codeOf, VouchsafeError, type Clock, type NotifySignal } from '../core/index.ts';
import {
  EQUAL_UIDS,
  findContainerProcess,
  isAlive,
  type ContainerProcess,
} from './process-table.ts';

/** How long a process may take to end itself after SIGTERM, in milliseconds: the default of Kubernetes. */
const GRACE_MS = 30_000;
/** How often it is looked at meanwhile, in milliseconds. */
const POLL_MS = 1000;

/** Where processes are found and how they are signalled. */
export interface Processes {
  readonly procDirectory: string;
  readonly kill: (pid: number, signal: NotifySignal | 'SIGKILL') => void;
}

/** Sends a signal to the main process of a container. Rejects with `ERR_NOTIFY_TARGET`. */
export async function signalContainer(
  processes: Processes,
  container: string,
  signal: NotifySignal,
): Promise<void> {
  const main = await findContainerProcess(processes.procDirectory, container);
  if (!send(processes, container, main, signal)) {
    throw new VouchsafeError(
      'ERR_NOTIFY_TARGET',
      `container ${container} ended before it could be sent ${signal}`,
      { details: { container } },
    );
  }
}

/**
 * Ends the main process of a container, so that the kubelet starts the container anew: SIGTERM, and SIGKILL
 * for what still lives after 30 s. Rejects with `ERR_NOTIFY_TARGET`, and on abort with `signal.reason`.
 */
export async function restartContainer(
  processes: Processes,
  container: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const main = await findContainerProcess(processes.procDirectory, container);
  if (!send(processes, container, main, 'SIGTERM')) return;
  for (let waitedMs = 0; waitedMs < GRACE_MS; waitedMs += POLL_MS) {
    await clock.sleep(POLL_MS, signal);
    if (!(await isAlive(processes.procDirectory, main))) return;
  }
  send(processes, container, main, 'SIGKILL');
}

/** False where the process is gone already. */
function send(
  processes: Processes,
  container: string,
  main: ContainerProcess,
  signal: NotifySignal | 'SIGKILL',
): boolean {
  try {
    processes.kill(main.pid, signal);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
    const message = `container ${container} may not be sent ${signal}: ${EQUAL_UIDS}`;
    throw new VouchsafeError('ERR_NOTIFY_TARGET', message, {
      cause: error,
      details: { container },
    });
  }
}
