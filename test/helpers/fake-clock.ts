/** Time that a test moves by hand. */
import type { Clock } from '../../src/core/index.ts';
import { settle } from './settle.ts';

export { settle };

interface Sleeper {
  readonly atMs: number;
  readonly resolve: () => void;
}

/** A clock that stands still until `advance` is called. */
export class FakeClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  #sleepers: Sleeper[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = startMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** How many sleeps are under way: none may be left when a test ends. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (ms <= 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const sleeper: Sleeper = {
      atMs: this.#monotonicMs + ms,
      resolve: () => resolve(undefined),
    };
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#sleepers.push(sleeper);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
    }
  }

  /** Moves both clocks on, waking sleepers in their order and letting their work run in between. */
  async advance(ms: number): Promise<void> {
    const target = this.#monotonicMs + ms;
    await settle();
    for (;;) {
      const next = this.#sleepers
        .filter((sleeper) => sleeper.atMs <= target)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#step(next.atMs - this.#monotonicMs);
      next.resolve();
      await settle();
    }
    this.#step(target - this.#monotonicMs);
    await settle();
  }

  /** Lets the wall clock jump, as an administrator or NTP does; sleeps are not touched. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  #step(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
  }
}
