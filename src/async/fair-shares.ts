/**
 * A bounded resource that several owners share, none of them at the cost of the others.
 */
import { FairQueue, type Shares } from './fair-queue.ts';
import { raceAbort } from './race-abort.ts';

/** Part of the total that one owner may hold: two owners together leave a third one its share. */
const SHARE = 1 / 3;

/** A number of units, of which each owner may hold its share at most, however many are free. */
export class FairShares implements Shares {
  /** How many there are. */
  readonly total: number;
  /** Most units of one owner. */
  readonly share: number;
  readonly #held = new Map<string, number>();
  /** Those that wait for one unit; each is called when it is held. */
  readonly #waiting = new FairQueue<() => void>({ shares: this });
  #taken = 0;

  /**
   * `share` is the most that one owner may hold: a third by default, and at least one.
   *
   * @throws TypeError when one of them is not a positive whole number.
   */
  constructor(total: number, share = Math.max(1, Math.floor(total * SHARE))) {
    if (!isCount(total)) throw new TypeError('total must be at least 1');
    if (!isCount(share)) throw new TypeError('share must be at least 1');
    this.total = total;
    this.share = share;
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
    for (let wake = this.#waiting.shift(); wake !== undefined; wake = this.#waiting.shift()) wake();
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
    this.#waiting.add(owner, wake);
    try {
      await raceAbort(turn.promise, signal);
    } catch (error) {
      // Where the turn came in the same moment the unit is held already.
      if (!this.#waiting.remove(owner, wake)) this.giveBack(owner);
      throw error;
    }
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
