/**
 * A queue in which groups take turns. Ring: kubernetes.
 */

/** First in, first out within a group; one item of each group in turn. Holds `max` items in all. */
export class TurnQueue<T> {
  readonly #max: number;
  /** In the order of their turns; none is empty. */
  readonly #groups = new Map<string, T[]>();
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Queues an item. Where the queue is full, the newest of the longest group makes room; gives back what was dropped,
   * which is `item` where its own group is as long as any.
   */
  push(group: string, item: T): T | undefined {
    let dropped: T | undefined;
    if (this.#size >= this.#max) {
      const own = this.#groups.get(group)?.length ?? 0;
      const longest = [...this.#groups].reduce((one, other) =>
        other[1].length > one[1].length ? other : one,
      );
      if (longest[1].length <= own || longest[1].length < 2) return item;
      dropped = longest[1].pop();
      this.#size -= 1;
    }
    const items = this.#groups.get(group);
    if (items === undefined) this.#groups.set(group, [item]);
    else items.push(item);
    this.#size += 1;
    return dropped;
  }

  /** The next item, and its group goes to the end. */
  shift(): T | undefined {
    const [first] = this.#groups;
    if (first === undefined) return undefined;
    const [group, items] = first;
    const item = items.shift();
    this.#size -= 1;
    this.#groups.delete(group);
    if (items.length > 0) this.#groups.set(group, items);
    return item;
  }
}
