/**
 * Metrics of the render processes. Labels are closed sets: never a tenant.
 */
import type { Metrics } from '../core/index.ts';
import type { PoolCounts } from '../worker-pool/index.ts';

/** In seconds: from the wait for a free child, a millisecond, to the longest wait. */
const BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Makes the counters of the pool that a `Renderer` uses. */
export function createRenderCounts(metrics: Metrics): PoolCounts {
  const jobs = metrics.counter(
    'vouchsafe_csi_render_jobs_total',
    'Jobs of the render processes, by operation (render, check, answer) and result: ok, an exceeded bound (time, memory, size), busy, protocol, stale (an answer to another job) or ended.',
    ['operation', 'result'],
  );
  const wait = metrics.histogram(
    'vouchsafe_csi_render_wait_seconds',
    'How long jobs waited for a render process.',
    BUCKETS,
  );
  const replaced = metrics.counter(
    'vouchsafe_csi_render_replaced_total',
    'Render processes that were replaced, by reason: time, memory, size (much memory after a job), protocol, stale, ended, or start.',
    ['reason'],
  );
  return {
    waited: (seconds) => wait.observe(seconds),
    done: (operation, result) => jobs.add({ operation, result }),
    replaced: (reason) => replaced.add({ reason }),
  };
}
