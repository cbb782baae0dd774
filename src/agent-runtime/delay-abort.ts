/**
 * Lets work continue for a while after its signal has aborted.
 */
import type { Task } from '../async/index.ts';

/** Runs `work`; after `signal` aborts, `linger` runs, and only then the work's own signal aborts. `linger` never rejects. */
export async function delayAbort(work: Task, linger: Task, signal: AbortSignal): Promise<void> {
  const end = new AbortController();
  const isOver = new AbortController();
  const lingerThenEnd = async (): Promise<void> => {
    await linger(isOver.signal);
    end.abort(signal.reason);
  };
  let ending: Promise<void> | undefined;
  const onAbort = (): void => void (ending ??= lingerThenEnd());
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
