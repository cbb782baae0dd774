/**
 * A sleep that can be ended early.
 */
import type { Clock } from '../core/index.ts';

/** Ends a sleep early. It is never thrown; one object, because creating one per wake-up is expensive. */
const WOKEN = new DOMException('the timer was woken', 'AbortError');

/** Sleeps until a due time or a wake-up, for one caller at a time. A wake-up before the sleep ends it at once. */
export class WakeableTimer {
  readonly #clock: Clock;
  #isWoken = false;
  #sleeping: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the present sleep, or the next one. */
  wake(): void {
    this.#isWoken = true;
    this.#sleeping?.abort(WOKEN);
  }

  /** Resolves at `atMs` of the monotonic clock or at the next wake-up. Rejects with `signal.reason` on abort. */
  async waitUntil(atMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const sleeping = new AbortController();
    const onAbort = (): void => sleeping.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#sleeping = sleeping;
    try {
      if (!this.#isWoken)
        await this.#clock.sleep(atMs - this.#clock.monotonicMs(), sleeping.signal);
    } catch (error) {
      if (!sleeping.signal.aborted) throw error;
    } finally {
      this.#sleeping = undefined;
      signal.removeEventListener('abort', onAbort);
    }
    signal.throwIfAborted();
    this.#isWoken = false;
  }
}
