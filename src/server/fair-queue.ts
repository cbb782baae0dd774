/**
 * One piece of work at a time, in turns: whoever has much to do waits for themselves, and nobody else for them.
 * Ring: server.
 */

import type { Clock } from '../core/index.ts';

/** What may wait. */
export interface QueueBounds {
  /** Of one party: pieces of work. */
  readonly pieces: number;
  /** Of one party: the sum of the sizes; one piece may always wait. */
  readonly size: number;
  /** Of all parties together: the sum of the sizes. */
  readonly totalSize: number;
  /** How long a piece may wait. Nobody is there any more who could use a later answer. */
  readonly waitMs: number;
}

/** What a {@link FairQueue} needs. */
export interface QueueOptions {
  readonly bounds: QueueBounds;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Lets everything else of the process that is ready run. */
  readonly pause: () => Promise<void>;
}

interface Piece {
  readonly size: number;
  readonly sinceMs: number;
  readonly run: () => void;
  readonly turnAway: () => void;
}

/** Work of several parties, each in the order in which it came; the parties take turns. */
export class FairQueue {
  readonly #options: QueueOptions;
  /** In the order of their turns. */
  readonly #parties = new Map<string | undefined, Piece[]>();
  #isRunning = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /**
   * Does `work` in its turn and resolves to its result. `size` is what it holds while it waits. Resolves to undefined
   * where the party has too much waiting already, or where it waited for too long.
   */
  do<T>(
    party: string | undefined,
    size: number,
    work: () => T,
  ): Promise<{ readonly result: T } | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<
      { readonly result: T } | undefined
    >();
    const piece: Piece = {
      size,
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
    if (this.#add(party, piece))
      void this.#run(); // never rejects: each piece has its own promise
    else piece.turnAway();
    return promise;
  }

  #add(party: string | undefined, piece: Piece): boolean {
    const { pieces, size, totalSize } = this.#options.bounds;
    const own = this.#parties.get(party) ?? [];
    const isFull = own.length >= pieces || sizeOf(own) + piece.size > size;
    if (own.length > 0 && isFull) return false;
    while (this.#size() + piece.size > totalSize) {
      if (!this.#makeRoom(sizeOf(own) + piece.size)) return false;
    }
    this.#parties.set(party, own);
    own.push(piece);
    return true;
  }

  /** Turns the latest piece away of whoever holds most, if that is more than `size`. */
  #makeRoom(size: number): boolean {
    const [largest] = [...this.#parties.values()].sort((a, b) => sizeOf(b) - sizeOf(a));
    if (largest === undefined || sizeOf(largest) <= size) return false;
    largest.pop()?.turnAway();
    return true;
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) {
      const { clock, bounds } = this.#options;
      if (clock.monotonicMs() - piece.sinceMs > bounds.waitMs) {
        piece.turnAway();
        continue;
      }
      piece.run();
      await this.#options.pause();
    }
    this.#isRunning = false;
  }

  /** The first piece of the party whose turn it is, which then is the last. */
  #next(): Piece | undefined {
    for (const [party, pieces] of this.#parties) {
      const piece = pieces.shift();
      this.#parties.delete(party);
      if (pieces.length > 0) this.#parties.set(party, pieces);
      if (piece !== undefined) return piece;
    }
    return undefined;
  }

  #size(): number {
    return [...this.#parties.values()].reduce((sum, pieces) => sum + sizeOf(pieces), 0);
  }
}

function sizeOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { size }) => sum + size, 0);
}
