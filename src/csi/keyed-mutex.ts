/**
 * Operations with something at stake in common run one after the other.
 */
import type { VolumeSpec } from './publish-request.ts';

/** What a change of a volume must not share with another one: its name and its place. */
export function lockKeysOf({
  volumeId,
  target,
}: Pick<VolumeSpec, 'volumeId' | 'target'>): readonly string[] {
  return [`volume ${volumeId}`, `target ${target}`];
}

/** A queue for each key. */
export class KeyedMutex {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values());
  }

  /** Runs `operation` when all earlier ones with one of its keys have ended, however they did. */
  async run<T>(keys: readonly string[], operation: () => Promise<T>): Promise<T> {
    // Who comes later waits for who came before, never the other way round: nobody can wait for each other.
    const earlier = keys.map((key) => this.#last.get(key) ?? Promise.resolve());
    const own = Promise.all(earlier).then(operation);
    const settled = own.catch(() => undefined);
    for (const key of keys) this.#last.set(key, settled);
    try {
      return await own;
    } finally {
      for (const key of keys) if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }
}
