/** Whether the webhook answers: pods that are asked for and not made. */
import assert from 'node:assert/strict';
import type { Pod } from './objects.ts';
import { api, shellPod, type Space } from './suite.ts';

/** A pod that asks for the agent, but for nothing that must be there. */
export const ASKS = { inject: 'true', 'secret-app': 'secret/app', role: 'app' };

/** Asks for a pod without making it. */
export async function admits(space: Space): Promise<void> {
  const pod = shellPod('dry', ASKS, 'true');
  const { object } = await api.create<Pod>(`${space.pods}?dryRun=All`, pod);
  const names = object.spec.initContainers?.map(({ name }) => name);
  assert.deepEqual(names, ['vouchsafe-agent']);
}

/** Asks all the time while something is done; gives how often. */
export async function admitsDuring(space: Space, work: () => Promise<void>): Promise<number> {
  let count = 0;
  const done = new AbortController();
  const asking = (async () => {
    while (!done.signal.aborted) {
      await admits(space);
      count += 1;
    }
  })();
  asking.catch(() => undefined); // reported below
  try {
    await work();
  } finally {
    done.abort();
  }
  await asking;
  return count;
}
