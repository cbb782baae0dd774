/**
 * A wait that ends by time or by a ring.
 */
import type { Clock } from '../core/index.ts';

/** Why a sleep ended early. Nobody sees it; one for all, because making a new one for each ring is dear. */
const WOKEN = new DOMException('the bell was rung', 'AbortError');

/** For one waiter: sleeps until a due time, unless somebody rings before. A ring while nobody waits is kept. */
export class WakeableTimer {
  readonly #clock: Clock;
  #rung = false;
  #sleeping: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wake(): void {
    this.#rung = true;
    this.#sleeping?.abort(WOKEN);
  }

  /** Resolves at `atMs` of the monotonic clock or at the next ring. Rejects with `signal.reason` on abort. */
  async waitUntil(atMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const sleeping = new AbortController();
    const onAbort = (): void => sleeping.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#sleeping = sleeping;
    try {
      if (!this.#rung) await this.#clock.sleep(atMs - this.#clock.monotonicMs(), sleeping.signal);
    } catch (error) {
      if (!sleeping.signal.aborted) throw error;
    } finally {
      this.#sleeping = undefined;
      signal.removeEventListener('abort', onAbort);
    }
    signal.throwIfAborted();
    this.#rung = false;
  }
}
