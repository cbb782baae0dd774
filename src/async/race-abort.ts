/**
 * Waits that end before what they wait for does.
 *
 * `Promise.race` leaves a reaction on each promise that it was given until that promise settles: who asks again and
 * again for something that never comes fills the memory. Here a wait that has ended leaves nothing.
 */
import type { Clock } from '../core/index.ts';

/** One who waits. */
interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Those who wait for each promise, which has one reaction of ours however many they are. */
const waiting = new WeakMap<Promise<unknown>, Set<Waiter<never>>>();

/**
 * Waits for a promise, but no longer than the signal allows; rejects with `signal.reason` on abort. A failure of the
 * promise that nobody waits for any more is not unhandled.
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

/** How a wait ends that took too long. One for all: nobody looks where it was made. */
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
  const known = waiting.get(promise) as Set<Waiter<T>> | undefined; // of this promise, so of its type
  if (known !== undefined) return known;
  const waiters = new Set<Waiter<T>>();
  waiting.set(promise, waiters);
  const settle = (tell: (waiter: Waiter<T>) => void): void => {
    // Who asks from now on is answered by a reaction of its own, at once.
    waiting.delete(promise);
    for (const waiter of waiters) tell(waiter);
  };
  promise.then(
    (value) => settle(({ resolve }) => resolve(value)),
    (error: unknown) => settle(({ reject }) => reject(error)),
  );
  return waiters;
}
