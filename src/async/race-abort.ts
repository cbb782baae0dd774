/**
 * Waits with an end: by a signal or a deadline.
 *
 * `Promise.race` leaves a reaction on each of its promises until that promise settles, so repeated waits for a promise
 * that never settles leak memory. Here a wait that has ended leaves nothing.
 */
import type { Clock } from '../core/index.ts';

/** A caller that waits. */
interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** The callers that wait for each promise. The promise has one reaction, however many they are. */
const waiting = new WeakMap<Promise<unknown>, Set<Waiter<never>>>();

/**
 * Waits for a promise until `signal` aborts, and then rejects with `signal.reason`. A later failure of the promise is
 * ignored.
 */
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const waiters = waitersOf(promise);
  signal.throwIfAborted();
  const { promise: outcome, resolve, reject } = Promise.withResolvers<T>();
  const waiter: Waiter<T> = { resolve, reject };
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  waiters.add(waiter);
  try {
    return await outcome;
  } finally {
    waiters.delete(waiter);
    signal.removeEventListener('abort', onAbort);
  }
}

/** The reason of every passed deadline: one object, so that callers can compare it. */
export const DEADLINE = new DOMException('the deadline has passed', 'TimeoutError');

/** The time for {@link withDeadline}. */
export interface DeadlineOptions {
  readonly clock: Clock;
  /** Milliseconds from now. */
  readonly ms: number;
  /** Ends the wait early. Default: nothing does. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `work` for at most `ms` of the clock's time.
 *
 * Its signal aborts when the time is over (reason {@link DEADLINE}) or when `signal` does; the wait ends then, even if `work` does not. Rejects
 * with the reason of that abort or with the failure of `work`; leaves no timer behind.
 */
export async function withDeadline<T>(
  { clock, ms, signal }: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const late = new AbortController();
  const done = new AbortController();
  clock.sleep(ms, done.signal).then(
    () => late.abort(DEADLINE),
    () => undefined, // the work was done before
  );
  const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  try {
    return await raceAbort(work(either), either);
  } finally {
    done.abort();
  }
}

function waitersOf<T>(promise: Promise<T>): Set<Waiter<T>> {
  const known = waiting.get(promise) as Set<Waiter<T>> | undefined; // its key has that type
  if (known !== undefined) return known;
  const waiters = new Set<Waiter<T>>();
  waiting.set(promise, waiters);
  const settle = (notify: (waiter: Waiter<T>) => void): void => {
    // A later wait adds a new reaction, which runs at once.
    waiting.delete(promise);
    for (const waiter of waiters) notify(waiter);
  };
  promise.then(
    (value) => settle(({ resolve }) => resolve(value)),
    (error: unknown) => settle(({ reject }) => reject(error)),
  );
  return waiters;
}
