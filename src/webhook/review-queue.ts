/**
 * Runs reviews one at a time, with the namespaces taking turns.
 */
import type { Clock } from '../core/index.ts';
import { FairQueue, type QueueBounds } from '../async/index.ts';

export interface ReviewQueueOptions {
  readonly bounds: QueueBounds;
  /** Longest time in the queue; afterwards the API server does not wait for the answer any more. */
  readonly maxWaitMs: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Yields to the event loop; called between two reviews. */
  readonly pause: () => Promise<void>;
}

interface Piece {
  readonly sinceMs: number;
  readonly run: () => void;
  readonly turnAway: () => void;
}

/** A fair queue with one worker. */
export class ReviewQueue {
  readonly #options: ReviewQueueOptions;
  readonly #queue: FairQueue<Piece>;
  #isRunning = false;

  constructor(options: ReviewQueueOptions) {
    this.#options = options;
    this.#queue = new FairQueue({
      bounds: options.bounds,
      onEvicted: (piece) => piece.turnAway(),
    });
  }

  /**
   * Runs `work` when it is the turn of its owner, and resolves to its result. `size` is the number of bytes that it
   * holds while it waits. Resolves to undefined where the queue is full, or `maxWaitMs` has passed.
   */
  run<T>(owner: string, size: number, work: () => T): Promise<{ readonly result: T } | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<
      { readonly result: T } | undefined
    >();
    const piece: Piece = {
      sinceMs: this.#options.clock.monotonicMs(),
      run: () => {
        try {
          resolve({ result: work() });
        } catch (error) {
          reject(error);
        }
      },
      turnAway: () => resolve(undefined),
    };
    if (this.#queue.add(owner, piece, size))
      void this.#drain(); // never rejects: each piece has its own promise
    else piece.turnAway();
    return promise;
  }

  async #drain(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const { clock, maxWaitMs, pause } = this.#options;
    for (let piece = this.#queue.shift(); piece !== undefined; piece = this.#queue.shift()) {
      if (clock.monotonicMs() - piece.sinceMs > maxWaitMs) {
        piece.turnAway();
        continue;
      }
      piece.run();
      await pause();
    }
    this.#isRunning = false;
  }
}
