/**
 * Groups files by directory, so that each directory is created, filled and closed once.
 */

/** The contents of a directory, by name. */
export interface FileTree<File> {
  readonly files: ReadonlyMap<string, File>;
  readonly directories: ReadonlyMap<string, FileTree<File>>;
}

interface MutableFileTree<File> extends FileTree<File> {
  readonly files: Map<string, File>;
  readonly directories: Map<string, MutableFileTree<File>>;
}

/** The tree of files whose paths do not clash. */
export function buildFileTree<File extends { readonly path: string }>(
  files: readonly File[],
): FileTree<File> {
  const root: MutableFileTree<File> = { files: new Map(), directories: new Map() };
  for (const file of files) {
    const names = file.path.split('/');
    const last = names.pop() ?? '';
    let tree = root;
    for (const name of names) {
      const inner = tree.directories.get(name) ?? { files: new Map(), directories: new Map() };
      tree.directories.set(name, inner);
      tree = inner;
    }
    tree.files.set(last, file);
  }
  return root;
}
