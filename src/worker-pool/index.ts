export { BoundExceeded, Pool, type Job, type PoolCounts, type PoolOptions } from './pool.ts';
export type { Frame } from './frames.ts';
