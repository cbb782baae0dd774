/**
 * Which bytes each file gets when not every file can be rendered. Pure.
 *
 * Until this process has delivered the set once, it is all or nothing. From then on a file that cannot be
 * rendered keeps its last bytes, and so does each file that shares a dependency with it, directly or through others:
 * a user name and its password always match. The other files are updated: a key that was removed from one secret
 * must not let the credential in another file expire.
 */
import type { FileConfig } from '../config/agent/index.ts';
import type { FileContent, RenderedFile } from './file-set.ts';

/** A file as it was last delivered. */
export interface KeptFile {
  readonly content: FileContent;
  readonly digest: string | undefined;
  /** Keys of the dependencies that its bytes were rendered from. */
  readonly keys: ReadonlySet<string>;
}

/** A file of the next set. */
export interface ChosenFile extends KeptFile {
  readonly file: FileConfig;
  /** True if the file keeps its last bytes because newer ones cannot be rendered. */
  readonly isHeldBack: boolean;
}

/** The next set, or undefined while a file has no bytes at all. `kept` is keyed by file name. */
export function chooseSet(
  rendered: readonly RenderedFile[],
  kept: ReadonlyMap<string, KeptFile>,
): readonly ChosenFile[] | undefined {
  const heldBack = heldBackFiles(rendered, kept);
  const chosen: ChosenFile[] = [];
  for (const item of rendered) {
    const { file, used } = item;
    const last = kept.get(file.name);
    const isHeldBack = heldBack.has(item);
    const { content, digest } = isHeldBack ? (last ?? NOTHING) : item;
    if (content === undefined) return undefined;
    const keys = isHeldBack ? allKeys(item, last) : new Set(used.keys());
    chosen.push({ file, content, digest, keys, isHeldBack });
  }
  return chosen;
}

const NOTHING = { content: undefined, digest: undefined };

function heldBackFiles(
  rendered: readonly RenderedFile[],
  kept: ReadonlyMap<string, KeptFile>,
): ReadonlySet<RenderedFile> {
  const heldBack = new Set<RenderedFile>();
  const heldKeys = new Set<string>();
  let next = rendered.filter(({ content }) => content === undefined);
  while (next.length > 0) {
    for (const item of next) {
      heldBack.add(item);
      for (const key of allKeys(item, kept.get(item.file.name))) heldKeys.add(key);
    }
    next = rendered.filter(
      (item) =>
        !heldBack.has(item) &&
        [...allKeys(item, kept.get(item.file.name))].some((key) => heldKeys.has(key)),
    );
  }
  return heldBack;
}

function allKeys({ used }: RenderedFile, last: KeptFile | undefined): ReadonlySet<string> {
  return new Set([...used.keys(), ...(last?.keys ?? [])]);
}
