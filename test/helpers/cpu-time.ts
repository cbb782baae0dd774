/**
 * CPU time of this process, for tests of how much work an input can cause. It grows less than wall time on a busy
 * machine, and still by a factor (shared caches, the compiler's and the collector's threads): bounds are several times
 * what a quiet machine takes, and the defects that they guard against take a thousand times as long. `npm run coverage`
 * leaves out the tests that import this file, because counting lines makes them slower.
 */

/** Milliseconds of CPU, user and system; whatever `work` throws is an end as well. */
export function cpuMs(work: () => unknown): number {
  const before = process.cpuUsage();
  try {
    work();
  } catch {
    // What is measured may be a rejection.
  }
  return sinceMs(before);
}

/** {@link cpuMs} of work that waits; its failure is the caller's. */
export async function cpuMsOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  return sinceMs(before);
}

function sinceMs(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
