/**
 * Real time and randomness.
 */
import { randomInt } from 'node:crypto';
import type { Clock, Random } from '../core/index.ts';

/** Longest delay of one timer; longer ones overflow and fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The system's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  // Milliseconds since the boot of the machine, so that a successor process can use saved values.
  monotonicMs: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  async sleep(ms, signal) {
    signal.throwIfAborted();
    for (let rest = ms; rest > 0; rest -= MAX_TIMER_MS) {
      await sleepOnce(Math.min(rest, MAX_TIMER_MS), signal);
    }
  },
};

/** Resolves after all pending requests and due timers have run. */
export function nextEventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The system's randomness. */
export const systemRandom: Random = {
  next: () => randomInt(2 ** 47) / 2 ** 47,
};

async function sleepOnce(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const onAbort = (): void => reject(signal.reason);
  const timer = setTimeout(() => resolve(undefined), ms);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
