/** Waiting for something that real sockets bring about. */
import { setImmediate } from 'node:timers/promises';

const PATIENCE_MS = 30_000;

/** Lets the event loop run until the condition holds; fails after half a minute. */
export async function until(condition: () => boolean): Promise<void> {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  while (!condition()) {
    if (patience.aborted) throw new Error(`still not: ${condition.toString()}`);
    await setImmediate();
  }
}
