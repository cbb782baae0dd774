/**
 * A bound on concurrent operations.
 */
import { raceAbort } from './race-abort.ts';

/** Lets at most `limit` operations run at a time; the others wait in order. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** @throws TypeError when `limit` is not a positive integer. */
  constructor(limit: number) {
    if (!Number.isInteger(limit) || limit < 1) throw new TypeError('limit must be at least 1');
    this.#free = limit;
  }

  /** Runs `operation` when a permit is free. Rejects with `signal.reason` on an abort while it waits. */
  async run<T>(signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
    await this.#acquire(signal);
    try {
      return await operation();
    } finally {
      this.#release();
    }
  }

  async #acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    const turn = Promise.withResolvers<undefined>();
    const wake = (): void => turn.resolve(undefined);
    this.#waiting.push(wake);
    try {
      await raceAbort(turn.promise, signal);
    } catch (error) {
      const index = this.#waiting.indexOf(wake);
      if (index >= 0) this.#waiting.splice(index, 1);
      else this.#release();
      throw error;
    }
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
