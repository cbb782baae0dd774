/**
 * Operations on one thing run one after the other. Ring: csi.
 */

/** A queue for each key. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values());
  }

  /** Runs `operation` when all earlier ones of this key have ended, however they did. */
  async run<T>(key: string, operation: () => Promise<T>): Promise<T> {
    const earlier = this.#last.get(key) ?? Promise.resolve();
    const own = earlier.then(operation, operation);
    const settled = own.catch(() => undefined);
    this.#last.set(key, settled);
    try {
      return await own;
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }
}
