/** Waiting for something that real sockets, files or processes bring about, where no event says so. */
import { setTimeout } from 'node:timers/promises';

/** Between two looks: other tests need the processor. */
const PAUSE_MS = 5;

/** Generous, for busy machines. */
const PATIENCE_MS = 30_000;

/**
 * Waits until the condition holds.
 *
 * @throws Error with the condition's text if it does not within half a minute.
 */
export async function until(condition: () => boolean): Promise<void> {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  while (!condition()) {
    if (patience.aborted)
      throw new Error(`not after ${PATIENCE_MS / 1000} s: ${condition.toString()}`);
    await setTimeout(PAUSE_MS);
  }
}
