/**
 * Operations that share a key run one after the other.
 */
import type { VolumeSpec } from './publish-request.ts';

/** The keys of an operation on a volume: its ID and its target path. */
export function lockKeysOf({
  volumeId,
  target,
}: Pick<VolumeSpec, 'volumeId' | 'target'>): readonly string[] {
  return [`volume ${volumeId}`, `target ${target}`];
}

/** A queue for each key. */
export class KeyedMutex {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Resolves when no operation is running or waiting. */
  async settled(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values());
  }

  /** Runs `operation` when all earlier ones that share a key with it have ended, whether they failed or not. */
  async run<T>(keys: readonly string[], operation: () => Promise<T>): Promise<T> {
    // Later operations wait for earlier ones, never the other way round: there is no deadlock.
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
