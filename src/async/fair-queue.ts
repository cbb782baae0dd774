/**
 * What many owners want done, in turns: whoever has much of it waits for themselves, and nobody else for them.
 */

/** What may wait. Without a bound any number may. */
export interface QueueBounds {
  /** Items of one owner. */
  readonly itemsOfOne?: number;
  /** Of one owner: the sum of the sizes; one item may always wait. */
  readonly sizeOfOne?: number;
  /** Of all owners together: the sum of the sizes. */
  readonly sizeOfAll?: number;
}

/** What each owner has under way already, such as {@link FairShares}. */
export interface Shares {
  /** Units that an owner holds; whoever holds the fewest is next. */
  held(owner: string): number;
  /** Units that an owner may take now; while there are none its items wait. */
  available(owner: string): number;
  hold(owner: string): void;
  giveBack(owner: string): void;
}

/** What a {@link FairQueue} needs. */
export interface FairQueueOptions<T> {
  readonly bounds?: QueueBounds;
  /** Is told of each item that had to give way to one of another owner. */
  readonly onEvicted?: (item: T) => void;
  /** An item holds one unit of its owner's from its turn until {@link FairQueue.done}. Without them nothing is held. */
  readonly shares?: Shares | undefined;
}

interface Place<T> {
  readonly owner: string;
  readonly item: T;
  readonly size: number;
}

/** The items of one owner, in the order in which they came. */
interface Line<T> {
  readonly places: Place<T>[];
  size: number;
}

/** Items of several owners, each in the order in which it came; the owners take turns. */
export class FairQueue<T> {
  readonly #bounds: Required<QueueBounds>;
  readonly #onEvicted: (item: T) => void;
  readonly #shares: Shares | undefined;
  /** In the order of their turns; none is empty. */
  readonly #lines = new Map<string, Line<T>>();
  readonly #takers = new Set<(item: T) => void>();
  #size = 0;

  constructor({
    bounds = {},
    onEvicted: turnAway = () => undefined,
    shares,
  }: FairQueueOptions<T> = {}) {
    const { itemsOfOne = Infinity, sizeOfOne = Infinity, sizeOfAll = Infinity } = bounds;
    this.#bounds = { itemsOfOne, sizeOfOne, sizeOfAll };
    this.#onEvicted = turnAway;
    this.#shares = shares;
  }

  /** Sum of the sizes of what waits. */
  get size(): number {
    return this.#size;
  }

  /**
   * Puts an item at the end of its owner's line; false where that is full. Where all together is too much, the newest
   * items of whoever has most give way, if that is more than this owner would then have; false where it is not.
   */
  add(owner: string, item: T, size = 1): boolean {
    const { itemsOfOne, sizeOfOne } = this.#bounds;
    const line = this.#lines.get(owner) ?? { places: [], size: 0 };
    const isFull = line.places.length >= itemsOfOne || line.size + size > sizeOfOne;
    if (line.places.length > 0 && isFull) return false;
    const inTheWay = this.#evictionsFor(line.size + size, size);
    if (inTheWay === undefined) return false;
    for (const place of inTheWay) this.#remove(place);
    this.#lines.set(owner, line);
    line.places.push({ owner, item, size });
    line.size += size;
    this.#size += size;
    for (const place of inTheWay) this.#onEvicted(place.item);
    this.#serve();
    return true;
  }

  /** Takes an item out whose turn has not come; true where it was there. */
  remove(owner: string, item: T): boolean {
    const place = this.#lines.get(owner)?.places.find((one) => one.item === item);
    if (place !== undefined) this.#remove(place);
    return place !== undefined;
  }

  /** The next item, if there is one that may have its turn. */
  shift(): T | undefined {
    const owner = this.#next();
    const line = owner === undefined ? undefined : this.#lines.get(owner);
    const [place] = line?.places ?? [];
    if (owner === undefined || line === undefined || place === undefined) return undefined;
    this.#remove(place);
    this.#shares?.hold(owner);
    // Whoever has had a turn is behind all others.
    if (this.#lines.delete(owner)) this.#lines.set(owner, line);
    return place.item;
  }

  /** The next item, waiting for one; of those that wait for one the first gets it. Undefined once `signal` aborts. */
  async take(signal: AbortSignal): Promise<T | undefined> {
    if (signal.aborted) return undefined;
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    const leave = (): void => {
      this.#takers.delete(resolve);
      resolve(undefined);
    };
    this.#takers.add(resolve);
    signal.addEventListener('abort', leave, { once: true });
    this.#serve();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** An item of this owner, whose turn came, holds its unit no longer. */
  done(owner: string): void {
    this.#shares?.giveBack(owner);
    this.#serve();
  }

  #serve(): void {
    for (const taker of this.#takers) {
      const item = this.shift();
      if (item === undefined) return;
      this.#takers.delete(taker);
      taker(item);
    }
  }

  /** Of the owners that may have a turn the one that holds the fewest; of several the one whose turn it is. */
  #next(): string | undefined {
    const shares = this.#shares;
    let next: string | undefined;
    let fewest = Infinity;
    for (const owner of this.#lines.keys()) {
      if (shares === undefined) return owner;
      const held = shares.held(owner);
      if (held >= fewest || shares.available(owner) === 0) continue;
      [next, fewest] = [owner, held];
    }
    return next;
  }

  /**
   * What must go for `size` more of an owner that then has `own`: each the newest of whoever has most by then. Undefined
   * where that does not help; then nothing has to go.
   */
  #evictionsFor(own: number, size: number): readonly Place<T>[] | undefined {
    const inTheWay: Place<T>[] = [];
    let excess = this.#size + size - this.#bounds.sizeOfAll;
    if (excess <= 0) return inTheWay;
    const left = [...this.#lines.values()].map(({ places, size: all }) => ({
      places: [...places],
      size: all,
    }));
    while (excess > 0) {
      let largest: Line<T> | undefined;
      for (const one of left) if (one.size > (largest?.size ?? own)) largest = one;
      const place = largest?.places.pop();
      if (largest === undefined || place === undefined) return undefined;
      inTheWay.push(place);
      largest.size -= place.size;
      excess -= place.size;
    }
    return inTheWay;
  }

  #remove(place: Place<T>): void {
    const line = this.#lines.get(place.owner);
    if (line === undefined) return;
    line.places.splice(line.places.indexOf(place), 1);
    line.size -= place.size;
    this.#size -= place.size;
    if (line.places.length === 0) this.#lines.delete(place.owner);
  }
}
