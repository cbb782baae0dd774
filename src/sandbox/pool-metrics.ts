/**
 * What is counted of a pool. Ring: sandbox. Labels are closed sets: never a tenant.
 */
import type { Metrics } from '../core/index.ts';

/** From a free child, a millisecond, to the longest wait. */
const BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Counts jobs and children. */
export interface PoolMetrics {
  waited(seconds: number): void;
  /** `result` is `ok`, a bound (`time`, `memory`, `size`), `busy`, `protocol` or `ended`. */
  done(operation: string, result: string): void;
  replaced(reason: string): void;
}

/** Makes the counters. */
export function createPoolMetrics(metrics: Metrics): PoolMetrics {
  const jobs = metrics.counter(
    'vouchsafe_csi_render_jobs_total',
    'Jobs of the processes that render, by operation (render, check, answer) and result: ok, a bound gone over (time, memory, size), busy, or protocol.',
    ['operation', 'result'],
  );
  const wait = metrics.histogram(
    'vouchsafe_csi_render_wait_seconds',
    'How long jobs waited for a process that renders.',
    BUCKETS,
  );
  const replaced = metrics.counter(
    'vouchsafe_csi_render_replaced_total',
    'Processes that render and were replaced, by reason: time, memory, size (much memory after a job), protocol, ended, or start.',
    ['reason'],
  );
  return {
    waited: (seconds) => wait.observe(seconds),
    done: (operation, result) => jobs.add({ operation, result }),
    replaced: (reason) => replaced.add({ reason }),
  };
}
