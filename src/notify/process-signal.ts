/**
 * Signals and restarts containers by their main process.
 */
import { codeOf, VouchsafeError, type Clock, type NotifySignal } from '../core/index.ts';
import {
  EQUAL_UIDS,
  findContainerProcesses,
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
 * Ends the main process of a container, so that the kubelet starts the container anew: SIGTERM, and SIGKILL
 * for what still lives after 30 s. Rejects with `ERR_NOTIFY_TARGET`, and on abort with `signal.reason`.
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
 * Whether it was sent to any of them; the others are gone already. A process that may not be signalled does not keep
 * the signal from the next one.
 */
async function sendAll(
  processes: Processes,
  container: string,
  mains: readonly ContainerProcess[],
  signal: NotifySignal | 'SIGKILL',
): Promise<boolean> {
  let isSent = false;
  let refusal: { readonly cause: unknown } | undefined;
  for (const main of mains) {
    // Node has no pidfd_send_signal: the last look comes right before the signal.
    if (!(await isAlive(processes.procDirectory, main))) continue;
    try {
      processes.kill(main.pid, signal);
      isSent = true;
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') refusal ??= { cause: error };
    }
  }
  if (isSent || refusal === undefined) return isSent;
  const message = `container ${container} may not be sent ${signal}: ${EQUAL_UIDS}`;
  throw new VouchsafeError('ERR_NOTIFY_TARGET', message, { ...refusal, details: { container } });
}
