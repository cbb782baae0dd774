/**
 * Who is next, where several tenants wait for the same few workers. Ring: sandbox.
 */

/** A queue for each tenant; they take turns, and none has all workers. */
export class FairQueue<T extends { readonly tenant: string }> {
  readonly #limits: QueueLimits;
  /** In the order of their turns. */
  readonly #waiting = new Map<string, T[]>();
  readonly #running = new Map<string, number>();
  #size = 0;
  #takers: ((item: T) => void)[] = [];

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Puts an item at the end of its tenant's queue; false where there is no room. */
  add(item: T): boolean {
    const queue = this.#waiting.get(item.tenant) ?? [];
    if (queue.length >= this.#limits.perTenant || this.#size >= this.#limits.inAll) return false;
    queue.push(item);
    this.#waiting.set(item.tenant, queue);
    this.#size += 1;
    this.#serve();
    return true;
  }

  /** Takes an item out that nobody has taken yet; true where it was there. */
  remove(item: T): boolean {
    const queue = this.#waiting.get(item.tenant) ?? [];
    const index = queue.indexOf(item);
    if (index < 0) return false;
    queue.splice(index, 1);
    if (queue.length === 0) this.#waiting.delete(item.tenant);
    this.#size -= 1;
    return true;
  }

  /** The next item, waiting for one; it counts as running until {@link done}. Undefined once `signal` aborts. */
  async take(signal: AbortSignal): Promise<T | undefined> {
    if (signal.aborted) return undefined;
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    const leave = (): void => {
      this.#takers = this.#takers.filter((one) => one !== resolve);
      resolve(undefined);
    };
    this.#takers.push(resolve);
    signal.addEventListener('abort', leave, { once: true });
    this.#serve();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** A taken item has ended. */
  done({ tenant }: T): void {
    const left = (this.#running.get(tenant) ?? 0) - 1;
    if (left > 0) this.#running.set(tenant, left);
    else this.#running.delete(tenant);
    this.#serve();
  }

  #serve(): void {
    while (this.#takers.length > 0) {
      const item = this.#next();
      if (item === undefined) return;
      this.#takers.shift()?.(item);
    }
  }

  #next(): T | undefined {
    for (const [tenant, queue] of this.#waiting) {
      const running = this.#running.get(tenant) ?? 0;
      const item = queue[0];
      if (running >= this.#limits.runningPerTenant || item === undefined) continue;
      this.remove(item);
      this.#running.set(tenant, running + 1);
      // Whoever has had a turn is behind all others.
      if (queue.length > 0) {
        this.#waiting.delete(tenant);
        this.#waiting.set(tenant, queue);
      }
      return item;
    }
    return undefined;
  }
}

/** Bounds of a {@link FairQueue}. */
export interface QueueLimits {
  /** Most items of one tenant that run at once. */
  readonly runningPerTenant: number;
  /** Most items of one tenant that wait. */
  readonly perTenant: number;
  /** Most items that wait. */
  readonly inAll: number;
}
