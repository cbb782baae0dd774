/**
 * Remembers what kind of engine is mounted where.
 * Only answers are remembered, never failures: one lost packet must not decide how a path is read for good.
 */
import { raceAbort } from '../async/index.ts';

/** What is mounted at `prefix` (ending in a slash; for `unknown` the one path that was read successfully). */
export interface Mount {
  readonly prefix: string;
  readonly kind: 'kv1' | 'kv2' | 'other' | 'unknown';
}

/** Known mounts, and the questions about others that are under way. */
export class MountTable {
  readonly #known = new Map<string, Mount>();
  readonly #asking = new Map<string, Promise<unknown>>();

  /**
   * The mount of a path, asking when it is not known. Questions about the same first segment wait for each
   * other, so that a mount is asked for once; a failed one fails its own caller alone.
   */
  async find(
    path: string,
    ask: () => Promise<Mount | undefined>,
    signal: AbortSignal,
  ): Promise<Mount | undefined> {
    const [segment = ''] = path.split('/', 1);
    for (;;) {
      const known = this.#lookUp(path);
      if (known !== undefined) return known;
      const other = this.#asking.get(segment);
      if (other === undefined) break;
      await raceAbort(other, signal);
    }
    const done = Promise.withResolvers<undefined>();
    this.#asking.set(segment, done.promise);
    try {
      const mount = await ask();
      if (mount !== undefined) this.remember(mount);
      return mount;
    } finally {
      this.#asking.delete(segment);
      done.resolve(undefined);
    }
  }

  remember(mount: Mount): void {
    this.#known.set(mount.prefix, mount);
  }

  /** Forgets a mount whose path was refused: it may have been replaced by another engine. */
  forget(mount: Mount): void {
    this.#known.delete(mount.prefix);
  }

  #lookUp(path: string): Mount | undefined {
    return (
      this.#known.get(path) ??
      prefixesOf(path)
        .map((prefix) => this.#known.get(prefix))
        .find(Boolean)
    );
  }
}

/** `a/b/c` -> `a/b/c/`, `a/b/`, `a/`: mounts that a path can lie in, longest first. */
export function prefixesOf(path: string): readonly string[] {
  const segments = path.split('/');
  return segments.map((_, index) => `${segments.slice(0, segments.length - index).join('/')}/`);
}
