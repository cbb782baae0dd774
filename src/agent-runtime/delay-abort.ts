/**
 * Lets work go on for a while after it was told to end.
 */
import type { Task } from '../async/index.ts';

/** Runs `work`, and after `signal` aborts `linger` before the work's own signal does. `linger` never rejects. */
export async function delayAbort(work: Task, linger: Task, signal: AbortSignal): Promise<void> {
  const end = new AbortController();
  const isOver = new AbortController();
  const told = async (): Promise<void> => {
    await linger(isOver.signal);
    end.abort(signal.reason);
  };
  let ending: Promise<void> | undefined;
  const onAbort = (): void => void (ending ??= told());
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await work(end.signal);
  } finally {
    signal.removeEventListener('abort', onAbort);
    isOver.abort();
    await ending;
  }
}
