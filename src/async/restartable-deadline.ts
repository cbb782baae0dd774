/**
 * A deadline for an answer from elsewhere, fair to whoever answers.
 */
import type { Clock } from '../core/index.ts';
import { DEADLINE } from './race-abort.ts';

/** Each part is waited for by itself: between two of them there is time to take what has come. */
const PARTS = 10;

/** Ends a wait whose outcome nobody looks at. */
const SET_ANEW = new DOMException('the deadline was set anew', 'AbortError');

/**
 * Aborts its signal when an answer did not come in time. The time is counted in parts, each from when the last one was
 * seen to be over: while this process is kept from its work, by itself or by others, at most one part passes, and an
 * answer that came meanwhile is taken before the end of the next one.
 */
export class RestartableDeadline {
  readonly #clock: Clock;
  readonly #late = new AbortController();
  #waiting = new AbortController();
  #ms = 0;
  #isOver = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Aborts with {@link DEADLINE}. */
  get signal(): AbortSignal {
    return this.#late.signal;
  }

  /** What was last waited for, in milliseconds. */
  get ms(): number {
    return this.#ms;
  }

  /** From now on there is so much time, however much there was before. */
  start(ms: number): void {
    if (this.#isOver) return;
    this.#waiting.abort(SET_ANEW);
    this.#ms = ms;
    this.#waiting = new AbortController();
    this.#wait(ms / PARTS, this.#waiting.signal).catch(() => undefined); // set anew, or over
  }

  /** For good: leaves no timer behind, and the signal aborts no more. */
  end(): void {
    this.#isOver = true;
    this.#waiting.abort(SET_ANEW);
  }

  async #wait(partMs: number, signal: AbortSignal): Promise<void> {
    for (let part = 0; part < PARTS; part += 1) await this.#clock.sleep(partMs, signal);
    this.#late.abort(DEADLINE);
  }
}
