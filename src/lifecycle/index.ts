export { createBackoff, type Backoff, type BackoffOptions } from './backoff.ts';
export { Bell } from './bell.ts';
export { FairQueue, type FairQueueOptions, type QueueBounds, type Shares } from './fair-queue.ts';
export { FairShares } from './fair-shares.ts';
export { Latest } from './latest.ts';
export { abortable, DEADLINE, withDeadline } from './race-abort.ts';
export { retry, type RetryOptions } from './retry.ts';
export { Semaphore } from './semaphore.ts';
export { runAll, type Task } from './task-group.ts';
