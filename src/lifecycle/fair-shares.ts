/**
 * A bounded resource that several owners share, none of them at the cost of the others. Ring: lifecycle.
 */
import { abortable } from './race-abort.ts';

/** Part of the total that one owner may hold: two owners together leave a third one its share. */
const SHARE = 1 / 3;

/** A number of units, of which each owner may hold a third at most, however many are free. */
export class FairShares {
  /** How many there are. */
  readonly total: number;
  /** Most units of one owner: a third, and at least one. */
  readonly share: number;
  readonly #held = new Map<string, number>();
  /** Owners that wait, each with its turns in order. Those that came first are first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #taken = 0;

  /** @throws TypeError when `total` is not a positive whole number. */
  constructor(total: number) {
    if (!Number.isSafeInteger(total) || total < 1) throw new TypeError('total must be at least 1');
    this.total = total;
    this.share = Math.max(1, Math.floor(total * SHARE));
  }

  /** Owners with the units that they hold; who holds none is not in it. */
  get holders(): ReadonlyMap<string, number> {
    return this.#held;
  }

  /** Units that an owner holds. */
  held(owner: string): number {
    return this.#held.get(owner) ?? 0;
  }

  /** Units that an owner may take now. */
  available(owner: string): number {
    return Math.max(0, Math.min(this.share - this.held(owner), this.total - this.#taken));
  }

  /** Takes units without waiting; false, and nothing is taken, where they are not available. */
  tryTake(owner: string, units = 1): boolean {
    if (units > this.available(owner)) return false;
    this.hold(owner, units);
    return true;
  }

  /** Takes units that are in use already, whether they are available or not: what a predecessor left. */
  hold(owner: string, units = 1): void {
    if (units === 0) return;
    this.#held.set(owner, this.held(owner) + units);
    this.#taken += units;
  }

  /** Gives units back; the next turn is that of the waiting owner that holds the fewest. */
  giveBack(owner: string, units = 1): void {
    const left = this.held(owner) - units;
    if (left < 0) throw new RangeError('more units are given back than were taken');
    if (left > 0) this.#held.set(owner, left);
    else this.#held.delete(owner);
    this.#taken -= units;
    this.#wake();
  }

  /**
   * Runs `operation` with one unit, when there is one for its owner. Rejects with `signal.reason` when aborted while
   * waiting; the operation is not aborted by it.
   */
  async run<T>(owner: string, signal: AbortSignal, operation: () => Promise<T>): Promise<T> {
    await this.#take(owner, signal);
    try {
      return await operation();
    } finally {
      this.giveBack(owner);
    }
  }

  async #take(owner: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.tryTake(owner)) return; // whoever waits has its share already, or the total is taken
    const turn = Promise.withResolvers<undefined>();
    const wake = (): void => turn.resolve(undefined);
    const queue = this.#waiting.get(owner) ?? [];
    queue.push(wake);
    this.#waiting.set(owner, queue);
    try {
      await abortable(turn.promise, signal);
    } catch (error) {
      const index = queue.indexOf(wake);
      if (index < 0) this.giveBack(owner);
      else this.#leave(owner, queue, index);
      throw error;
    }
  }

  #leave(owner: string, queue: (() => void)[], index: number): void {
    queue.splice(index, 1);
    if (queue.length === 0) this.#waiting.delete(owner);
  }

  /** Gives what is free to those that wait. */
  #wake(): void {
    for (;;) {
      let next: string | undefined;
      for (const owner of this.#waiting.keys()) {
        const isBetter = next === undefined || this.held(owner) < this.held(next);
        if (this.available(owner) > 0 && isBetter) next = owner;
      }
      const queue = next === undefined ? undefined : this.#waiting.get(next);
      if (next === undefined || queue === undefined) return;
      const [wake] = queue;
      this.hold(next);
      this.#leave(next, queue, 0);
      // Of owners that hold as many, the one that waits longest for its turn is first.
      if (queue.length > 0) {
        this.#waiting.delete(next);
        this.#waiting.set(next, queue);
      }
      wake?.();
    }
  }
}
