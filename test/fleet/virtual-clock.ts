/**
 * Time that a simulation owns, for some hundred thousand sleepers at once: a heap of due times instead of the
 * sorted list of `FakeClock`.
 */
import type { Clock } from '../../src/core/index.ts';

interface Sleeper {
  readonly atMs: number;
  /** Breaks ties: who fell asleep first wakes first. */
  readonly turn: number;
  /** Undefined once its sleep was aborted; it is dropped when its time comes. */
  wake: (() => void) | undefined;
}

/** A clock that stands still but while {@link VirtualClock.runUntil} moves it. */
export class VirtualClock implements Clock {
  readonly #startMs: number;
  readonly #heap: Sleeper[] = [];
  #nowMs = 0;
  #turn = 0;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  now(): number {
    return this.#startMs + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (ms <= 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const wake = (): void => resolve(undefined);
    const sleeper: Sleeper = { atMs: this.#nowMs + ms, turn: (this.#turn += 1), wake };
    const onAbort = (): void => {
      sleeper.wake = undefined;
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    // What sleeps for ever can only be aborted.
    if (Number.isFinite(sleeper.atMs)) this.#push(sleeper);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Moves time on, waking each sleeper at its time and letting its work run before the next one. */
  async runUntil(targetMs: number): Promise<void> {
    await turnOfEvents();
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > targetMs) break;
      this.#pop();
      if (next.wake === undefined) continue;
      this.#nowMs = next.atMs;
      next.wake();
      await turnOfEvents();
    }
    this.#nowMs = Math.max(this.#nowMs, targetMs);
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#heap;
    let index = heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, sleeper)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = sleeper;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      const child = isBefore(heap[right], heap[left]) ? right : left;
      const below = heap[child];
      if (below === undefined || isBefore(last, below)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Sleeper | undefined, b: Sleeper | undefined): boolean {
  if (a === undefined || b === undefined) return a !== undefined;
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.turn < b.turn);
}

/** Every promise that is ready has run when the next immediate runs; nothing here waits for real I/O. */
function turnOfEvents(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
