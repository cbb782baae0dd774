/**
 * Values that must never be printed travel as `Secret<T>`.
 */
import { inspect } from 'node:util';

const REDACTED = '[redacted]';

/**
 * Holds a value that no log, error, metric or crash dump may show. Printing, serializing or inspecting
 * a `Secret` shows `[redacted]`; only {@link Secret.reveal} returns the value, so every use can be found by grep.
 */
export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The value. Call it as late as possible, and never in an argument of a logger. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
