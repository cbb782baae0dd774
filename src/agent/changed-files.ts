/**
 * What the application has to be told of: bytes that are others than those it was delivered last. Pure.
 */
import { createHash } from 'node:crypto';
import type { OutputFile } from '../contracts/index.ts';

/** Path -> digest of the bytes of a file. */
export type Digests = ReadonlyMap<string, string>;

/** The digests of a set; `digest` is what whoever has rendered a file has taken already. */
export function digestsOf(
  files: readonly (OutputFile & { readonly digest?: string | undefined })[],
): Digests {
  return new Map(files.map(({ path, content, digest }) => [path, digest ?? digestOf(content)]));
}

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('base64');
}

/**
 * Paths whose bytes are news. `before` is what was delivered last, perhaps by a predecessor that was killed before
 * it could tell; where it knows nothing of a file, that the write has `changed` it decides. A file that was lost
 * and is written again is no news.
 */
export function changedPaths(
  digests: Digests,
  { before, changed }: { readonly before: Digests; readonly changed: readonly string[] },
): readonly string[] {
  const isNews = ([path, digest]: readonly [string, string]): boolean =>
    before.has(path) ? before.get(path) !== digest : changed.includes(path);
  const gone = [...before.keys()].filter((path) => !digests.has(path));
  return [...[...digests].filter(isNews).map(([path]) => path), ...gone];
}
