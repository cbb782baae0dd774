/**
 * Signals and restarts containers through their main process.
 */
import { codeOf, VouchsafeError, type Clock, type NotifySignal } from '../core/index.ts';
import {
  EQUAL_UIDS,
  findContainerProcesses,
  isAlive,
  type ContainerProcess,
} from './process-table.ts';

/** How long a process may take to exit after SIGTERM, in milliseconds: the default of Kubernetes. */
const GRACE_MS = 30_000;
/** How often it is checked meanwhile, in milliseconds. */
const POLL_MS = 1000;

/** The process table and how to signal; tests pass their own. */
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
  const mains = await findContainerProcesses(processes.procDirectory, container);
  if (!(await sendAll(processes, container, mains, signal))) {
    throw new VouchsafeError(
      'ERR_NOTIFY_TARGET',
      `container ${container} ended before it could be sent ${signal}`,
      { details: { container } },
    );
  }
}

/**
 * Ends the main process of a container, so that the kubelet restarts the container: SIGTERM, and SIGKILL
 * if it is still alive after 30 s. Rejects with `ERR_NOTIFY_TARGET`, and on abort with `signal.reason`.
 */
export async function restartContainer(
  processes: Processes,
  container: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { procDirectory } = processes;
  const mains = await findContainerProcesses(procDirectory, container);
  if (!(await sendAll(processes, container, mains, 'SIGTERM'))) return;
  for (let waitedMs = 0; waitedMs < GRACE_MS; waitedMs += POLL_MS) {
    await clock.sleep(POLL_MS, signal);
    const lives = await Promise.all(mains.map((main) => isAlive(procDirectory, main)));
    if (!lives.includes(true)) return;
  }
  await sendAll(processes, container, mains, 'SIGKILL');
}

/**
 * Whether the signal was sent to at least one process; the others have already ended. If one must not be signalled, the
 * next ones are signalled all the same.
 */
async function sendAll(
  processes: Processes,
  container: string,
  mains: readonly ContainerProcess[],
  signal: NotifySignal | 'SIGKILL',
): Promise<boolean> {
  let isSent = false;
  let denial: { readonly cause: unknown } | undefined;
  for (const main of mains) {
    // Node has no pidfd_send_signal: the last check comes right before the signal.
    if (!(await isAlive(processes.procDirectory, main))) continue;
    try {
      processes.kill(main.pid, signal);
      isSent = true;
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') denial ??= { cause: error };
    }
  }
  if (isSent || denial === undefined) return isSent;
  const message = `the agent may not send ${signal} to container ${container}: ${EQUAL_UIDS}`;
  throw new VouchsafeError('ERR_NOTIFY_TARGET', message, { ...denial, details: { container } });
}
