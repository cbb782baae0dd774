/**
 * A bounded resource that owners share, each within its share.
 */
import { FairQueue, type Shares } from './fair-queue.ts';
import { raceAbort } from './race-abort.ts';

/** The part of the total that one owner may hold, so that two owners leave a share to a third one. */
const SHARE = 1 / 3;

/** A number of units. Each owner holds at most its share, however many are free. */
export class FairShares implements Shares {
  /** The number of units. */
  readonly total: number;
  /** Most units of one owner. */
  readonly share: number;
  readonly #held = new Map<string, number>();
  /** Callers that wait for a unit; each is called once it holds one. */
  readonly #waiting = new FairQueue<() => void>({ shares: this });
  #taken = 0;

  /**
   * `share` is the most units of one owner. Default: a third, at least one.
   *
   * @throws TypeError when one of them is not a positive integer.
   */
  constructor(total: number, share = Math.max(1, Math.floor(total * SHARE))) {
    if (!isCount(total)) throw new TypeError('total must be at least 1');
    if (!isCount(share)) throw new TypeError('share must be at least 1');
    this.total = total;
    this.share = share;
  }

  /** The units of each owner that holds at least one. */
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

  /** Takes units without waiting; false, without taking any, if they are not available. */
  tryTake(owner: string, units = 1): boolean {
    if (units > this.available(owner)) return false;
    this.hold(owner, units);
    return true;
  }

  /** Records units that are in use already, even beyond the share: those of a predecessor. */
  hold(owner: string, units = 1): void {
    if (units === 0) return;
    this.#held.set(owner, this.held(owner) + units);
    this.#taken += units;
  }

  /** Gives units back; the waiting owner that holds the fewest is next. */
  giveBack(owner: string, units = 1): void {
    const left = this.held(owner) - units;
    if (left < 0) throw new RangeError('more units are given back than were taken');
    if (left > 0) this.#held.set(owner, left);
    else this.#held.delete(owner);
    this.#taken -= units;
    for (let wake = this.#waiting.shift(); wake !== undefined; wake = this.#waiting.shift()) wake();
  }

  /**
   * Runs `operation` with one unit, once one is available for its owner. Rejects with `signal.reason` on an abort while
   * it waits; `signal` does not abort the operation.
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
    if (this.tryTake(owner)) return; // waiting callers cannot take it: their share or the total is used up
    const turn = Promise.withResolvers<undefined>();
    const wake = (): void => turn.resolve(undefined);
    this.#waiting.add(owner, wake);
    try {
      await raceAbort(turn.promise, signal);
    } catch (error) {
      // If its turn came at the same moment, it holds the unit already.
      if (!this.#waiting.remove(owner, wake)) this.giveBack(owner);
      throw error;
    }
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
