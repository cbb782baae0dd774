/**
 * Caches which secrets engine is mounted where.
 * Failures are never cached: one lost packet must not determine how a path is read from then on.
 */
import { raceAbort } from '../async/index.ts';

/** What is mounted at `prefix` (ending in a slash; for `unknown` the one path that was read successfully). */
export interface Mount {
  readonly prefix: string;
  readonly kind: 'kv1' | 'kv2' | 'other' | 'unknown';
}

/** Known mounts, and pending lookups of others. */
export class MountTable {
  readonly #known = new Map<string, Mount>();
  readonly #pending = new Map<string, Promise<unknown>>();

  /**
   * The mount of a path, looked up if it is not known. Lookups with the same first segment wait for each
   * other, so that a mount is looked up once; a failed lookup fails only its own caller.
   */
  async find(
    path: string,
    lookUp: () => Promise<Mount | undefined>,
    signal: AbortSignal,
  ): Promise<Mount | undefined> {
    const [segment = ''] = path.split('/', 1);
    for (;;) {
      const known = this.#lookUp(path);
      if (known !== undefined) return known;
      const other = this.#pending.get(segment);
      if (other === undefined) break;
      await raceAbort(other, signal);
    }
    const done = Promise.withResolvers<undefined>();
    this.#pending.set(segment, done.promise);
    try {
      const mount = await lookUp();
      if (mount !== undefined) this.remember(mount);
      return mount;
    } finally {
      this.#pending.delete(segment);
      done.resolve(undefined);
    }
  }

  remember(mount: Mount): void {
    this.#known.set(mount.prefix, mount);
  }

  /** Forgets a mount after a rejected request: another engine may have replaced it. */
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
