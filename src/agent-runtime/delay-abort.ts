/**
 * Lets work continue for a while after its signal has aborted.
 */
import type { Task } from '../async/index.ts';

/**
 * Runs `work`; after `signal` aborts, `linger` runs, and only then the work's own signal aborts. The work is called first
 * even if `signal` has aborted before. `linger` never rejects.
 */
export async function delayAbort(work: Task, linger: Task, signal: AbortSignal): Promise<void> {
  const end = new AbortController();
  const isOver = new AbortController();
  const lingerThenEnd = async (): Promise<void> => {
    await linger(isOver.signal);
    end.abort(signal.reason);
  };
  let ending: Promise<void> | undefined;
  const onAbort = (): void => void (ending ??= lingerThenEnd());
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const working = work(end.signal);
    // After the work has begun: only then does it know what there is to linger for.
    if (signal.aborted) onAbort();
    await working;
  } finally {
    signal.removeEventListener('abort', onAbort);
    isOver.abort();
    await ending;
  }
}
