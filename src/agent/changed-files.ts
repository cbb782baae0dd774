/**
 * Finds the files that the application must be notified of: their bytes differ from the last delivery. Pure.
 */
import { createHash } from 'node:crypto';
import type { OutputFile } from '../contracts/index.ts';

/** Path -> digest of the bytes of a file. */
export type Digests = ReadonlyMap<string, string>;

/** The digests of a set. A `digest` that the renderer has taken is not computed again. */
export function digestsOf(
  files: readonly (OutputFile & { readonly digest?: string | undefined })[],
): Digests {
  return new Map(files.map(({ path, content, digest }) => [path, digest ?? digestOf(content)]));
}

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('base64');
}

/**
 * Paths whose bytes differ from `before`: the last delivery, perhaps by a predecessor that was killed before it could
 * notify. For a file that is not in `before`, it matters whether the write has `changed` it. A file that was lost and
 * is written again with the same bytes has not changed.
 */
export function changedPaths(
  digests: Digests,
  { before, changed }: { readonly before: Digests; readonly changed: readonly string[] },
): readonly string[] {
  const hasChanged = ([path, digest]: readonly [string, string]): boolean =>
    before.has(path) ? before.get(path) !== digest : changed.includes(path);
  const gone = [...before.keys()].filter((path) => !digests.has(path));
  return [...[...digests].filter(hasChanged).map(([path]) => path), ...gone];
}
