/** Waiting for what the cluster does at its own pace. */
import { setTimeout as delay } from 'node:timers/promises';

/** How long tests and set-up wait, where not said otherwise. */
export const PATIENCE_MS = 60_000;

/** Asks until the answer is not undefined; what it throws meanwhile means "not yet". */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const end = performance.now() + patienceMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
    await delay(100);
  }
  throw new Error(`${what}: still not after ${patienceMs / 1000} s`, { cause: last });
}
