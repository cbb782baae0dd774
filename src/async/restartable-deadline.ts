/**
 * A deadline that can be set again while an answer from another process is awaited.
 */
import type { Clock } from '../core/index.ts';
import { DEADLINE } from './race-abort.ts';

/** The time passes in parts: between two of them, answers that have arrived are read. */
const PARTS = 10;

/** Ends a sleep whose outcome is ignored. */
const RESTARTED = new DOMException('the deadline was set again', 'AbortError');

/**
 * Aborts its signal when an answer did not come in time. Each part of the time begins when the previous one is seen to
 * be over: while this process does not run, at most one part passes, and an answer that came meanwhile is read before
 * the next part ends.
 */
export class RestartableDeadline {
  readonly #clock: Clock;
  readonly #reason: Error;
  readonly #late = new AbortController();
  #waiting = new AbortController();
  #ms = 0;
  #isOver = false;

  /** `reason` is what the signal aborts with. */
  constructor(clock: Clock, reason: Error = DEADLINE) {
    this.#clock = clock;
    this.#reason = reason;
  }

  /** Aborts when the time is over. */
  get signal(): AbortSignal {
    return this.#late.signal;
  }

  /** The time of the last {@link start}, in milliseconds. */
  get ms(): number {
    return this.#ms;
  }

  /** Sets the time that is left from now on, whatever was left before. */
  start(ms: number): void {
    if (this.#isOver) return;
    this.#waiting.abort(RESTARTED);
    this.#ms = ms;
    this.#waiting = new AbortController();
    this.#wait(ms / PARTS, this.#waiting.signal).catch(() => undefined); // restarted or ended
  }

  /** Ends it for good: no timer is left, and the signal does not abort any more. */
  end(): void {
    this.#isOver = true;
    this.#waiting.abort(RESTARTED);
  }

  async #wait(partMs: number, signal: AbortSignal): Promise<void> {
    for (let part = 0; part < PARTS; part += 1) await this.#clock.sleep(partMs, signal);
    this.#late.abort(this.#reason);
  }
}
