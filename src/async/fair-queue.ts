/**
 * A queue in which owners take turns: an owner with many items delays only its own.
 */

/** Limits of a {@link FairQueue}. Default: none. */
export interface QueueBounds {
  /** The most items of one owner. */
  readonly itemsOfOne?: number;
  /** The greatest sum of sizes of one owner. A single item may exceed it. */
  readonly sizeOfOne?: number;
  /** The greatest sum of sizes of all owners. */
  readonly sizeOfAll?: number;
}

/** Units of a resource that owners hold, such as {@link FairShares}. */
export interface Shares {
  /** Units that an owner holds; the owner with the fewest is next. */
  held(owner: string): number;
  /** Units that an owner may take now; while there are none, its items wait. */
  available(owner: string): number;
  hold(owner: string): void;
  giveBack(owner: string): void;
}

export interface FairQueueOptions<T> {
  readonly bounds?: QueueBounds;
  /** Called with each item that is evicted for one of another owner. */
  readonly onEvicted?: (item: T) => void;
  /** An item holds one unit of its owner from its turn until {@link FairQueue.done}. Default: no units. */
  readonly shares?: Shares | undefined;
}

interface Place<T> {
  readonly owner: string;
  readonly item: T;
  readonly size: number;
}

/** The items of one owner, in the order of their arrival. */
interface Line<T> {
  readonly places: Place<T>[];
  size: number;
}

/** Items of several owners, which take turns; those of one owner keep their order. */
export class FairQueue<T> {
  readonly #bounds: Required<QueueBounds>;
  readonly #onEvicted: (item: T) => void;
  readonly #shares: Shares | undefined;
  /** In the order of the turns; no line is empty. */
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

  /** The sum of the sizes of all waiting items. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds an item to the end of its owner's line; false if that is full. If all lines together are full, the newest
   * items of the owner with the most are evicted; false if no owner has more than this one would have.
   */
  add(owner: string, item: T, size = 1): boolean {
    const { itemsOfOne, sizeOfOne } = this.#bounds;
    const line = this.#lines.get(owner) ?? { places: [], size: 0 };
    const isFull = line.places.length >= itemsOfOne || line.size + size > sizeOfOne;
    if (line.places.length > 0 && isFull) return false;
    const evictions = this.#evictionsFor(line.size + size, size);
    if (evictions === undefined) return false;
    for (const place of evictions) this.#remove(place);
    this.#lines.set(owner, line);
    line.places.push({ owner, item, size });
    line.size += size;
    this.#size += size;
    for (const place of evictions) this.#onEvicted(place.item);
    this.#serve();
    return true;
  }

  /** Removes an item that still waits; false if there is no such item. */
  remove(owner: string, item: T): boolean {
    const place = this.#lines.get(owner)?.places.find((one) => one.item === item);
    if (place !== undefined) this.#remove(place);
    return place !== undefined;
  }

  /** The next item; undefined if none may have its turn. */
  shift(): T | undefined {
    const owner = this.#next();
    const line = owner === undefined ? undefined : this.#lines.get(owner);
    const [place] = line?.places ?? [];
    if (owner === undefined || line === undefined || place === undefined) return undefined;
    this.#remove(place);
    this.#shares?.hold(owner);
    // The owner goes behind all others.
    if (this.#lines.delete(owner)) this.#lines.set(owner, line);
    return place.item;
  }

  /** Waits for the next item; callers are served in order. Undefined once `signal` aborts. */
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

  /** Releases the unit of an item that had its turn. */
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

  /** The owner that holds the fewest units among those that may have a turn; with equal numbers, the next in turn. */
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
   * The items to evict for `size` more of an owner that then has `own`: each the newest of the owner that has most at
   * that point. Undefined if evictions do not make enough room.
   */
  #evictionsFor(own: number, size: number): readonly Place<T>[] | undefined {
    const evictions: Place<T>[] = [];
    let excess = this.#size + size - this.#bounds.sizeOfAll;
    if (excess <= 0) return evictions;
    const left = [...this.#lines.values()].map(({ places, size: all }) => ({
      places: [...places],
      size: all,
    }));
    while (excess > 0) {
      let largest: Line<T> | undefined;
      for (const one of left) if (one.size > (largest?.size ?? own)) largest = one;
      const place = largest?.places.pop();
      if (largest === undefined || place === undefined) return undefined;
      evictions.push(place);
      largest.size -= place.size;
      excess -= place.size;
    }
    return evictions;
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
