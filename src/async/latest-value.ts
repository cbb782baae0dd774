/**
 * A changing value of which only the newest matters.
 */
import { raceAbort } from './race-abort.ts';

/** Keeps the newest value and wakes the callers that wait for the next one; a burst of changes wakes them once. */
export class Latest<T> {
  #value: { readonly value: T } | undefined;
  #version = 0;
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();

  /** The newest value, or undefined before the first one and after {@link clear}. */
  get current(): T | undefined {
    return this.#value?.value;
  }

  set(value: T): void {
    this.#change({ value });
  }

  /** Clears the value; callers continue to wait for the next one. */
  clear(): void {
    this.#change(undefined);
  }

  /** The newest value, waiting for the first one. Rejects with `signal.reason` on abort. */
  async wait(signal: AbortSignal): Promise<T> {
    for await (const value of this.updates(signal)) return value;
    throw signal.reason;
  }

  /** The newest value, then each newer one; values that are replaced while the consumer is busy are skipped. */
  async *updates(signal: AbortSignal): AsyncGenerator<T, void, undefined> {
    let seen = -1;
    for (;;) {
      signal.throwIfAborted();
      if (this.#version !== seen && this.#value !== undefined) {
        seen = this.#version;
        yield this.#value.value;
        continue;
      }
      await raceAbort(this.#wake.promise, signal);
    }
  }

  #change(value: { readonly value: T } | undefined): void {
    this.#value = value;
    this.#version += 1;
    const wake = this.#wake;
    this.#wake = Promise.withResolvers();
    wake.resolve();
  }
}
