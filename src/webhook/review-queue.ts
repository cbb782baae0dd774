/**
 * One piece of work at a time, in turns of whom it is for.
 */
import type { Clock } from '../core/index.ts';
import { FairQueue, type QueueBounds } from '../async/index.ts';

/** What {@link ReviewQueue} need. */
export interface ReviewQueueOptions {
  readonly bounds: QueueBounds;
  /** How long a piece may wait. Nobody is there any more who could use a later answer. */
  readonly maxWaitMs: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Lets everything else of the process that is ready run. */
  readonly pause: () => Promise<void>;
}

interface Piece {
  readonly sinceMs: number;
  readonly run: () => void;
  readonly turnAway: () => void;
}

/** Does one piece of work after the other. */
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
   * Does `work` in the turn of its owner and resolves to its result. `size` is what it holds while it waits. Resolves to
   * undefined where there is no place for it, or where it waited for too long.
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
