/**
 * The present contents of an output directory, read from disk each time, so that a restarted process knows them.
 */
import { MAX_DEPTH, type Directory, type FileSystem } from './file-system.ts';

/** The symlink whose swap replaces all files at once. */
export const DATA_LINK = '..data';
/** The next {@link DATA_LINK} before its rename. */
export const DATA_LINK_TMP = '..data_tmp';
/** Directory of visible links that appear right after the swap. */
export const LINKS_TMP = '..links_tmp';

const GENERATION = /^\.\.\d{4}(_\d\d){5}\.\d{3}_[0-9a-f]{8}$/;

/** A file that a writer created, as it is now. */
interface PresentFile {
  readonly size: number;
  readonly mode: number;
  /** Whether its bytes are already those of the next write. */
  readonly current: boolean;
}

/** The state of an output directory. */
export interface PresentSet {
  /** Name of the present generation's directory; undefined if there is none. */
  readonly generation: string | undefined;
  /** The files that a reader can reach, by path below the output directory. */
  readonly files: ReadonlyMap<string, PresentFile>;
  /** False if the generation contains more than {@link files}: a write was interrupted, or another process changed it. */
  readonly intact: boolean;
  /** Visible names that are the writer's links. */
  readonly links: ReadonlySet<string>;
  /** The writer's names that nothing points to: leftovers of a killed predecessor or a failed removal. */
  readonly leftovers: readonly string[];
  /** All other names. They belong to somebody else. */
  readonly foreign: ReadonlySet<string>;
}

/** The name of a new generation: `..2026_01_31_23_59_59.000_89abcdef`. Sorts by time. */
export function generationName(nowMs: number, suffix: number): string {
  const stamp = new Date(nowMs).toISOString().replace(/[-T:]/g, '_').replace('Z', '');
  return `..${stamp}_${(suffix >>> 0).toString(16).padStart(8, '0')}`;
}

/** The visible name through which a file is reached: the first segment of its path. */
export function visibleName(path: string): string {
  return path.split('/', 1).join('');
}

/** Target of the writer's link with this visible name. */
export function visibleTarget(name: string): string {
  return `${DATA_LINK}/${name}`;
}

/**
 * Reads an output directory before `contents` (by path) are written. Never follows a symlink below it, and does not
 * trust where one points.
 */
export async function readPresentSet(
  fs: FileSystem,
  root: Directory,
  contents: ReadonlyMap<string, Uint8Array>,
): Promise<PresentSet> {
  const links = new Set<string>();
  const foreign = new Set<string>();
  const ours: string[] = [];
  let dataTarget: string | undefined;
  for (const entry of await fs.list(root)) {
    const { name } = entry;
    // readLink on an entry that is not a link takes longer than the rest of the loop.
    const target = entry.isSymbolicLink() ? await fs.readLink(root, name) : undefined;
    if (name === DATA_LINK) dataTarget = target;
    if (target === visibleTarget(name)) links.add(name);
    else if (isOurs(name, target)) ours.push(name);
    else foreign.add(name);
  }
  using opened = await openGeneration(fs, root, dataTarget);
  const generation = opened?.name;
  const look = new GenerationReader(fs, contents);
  if (opened !== undefined) await look.read(opened.directory);
  const reachable = [...look.files].filter(([path]) => links.has(visibleName(path)));
  return {
    generation,
    files: new Map(reachable),
    intact: look.isRegular && reachable.length === look.files.size,
    links,
    leftovers: ours.filter((name) => name !== generation && name !== DATA_LINK),
    foreign,
  };
}

function isOurs(name: string, target: string | undefined): boolean {
  if (name === DATA_LINK) return target !== undefined;
  return GENERATION.test(name) || name === DATA_LINK_TMP || name === LINKS_TMP;
}

/** The target of `..data`, if it is a generation directory beside it. */
async function openGeneration(
  fs: FileSystem,
  root: Directory,
  name: string | undefined,
): Promise<({ readonly name: string; readonly directory: Directory } & Disposable) | undefined> {
  if (name === undefined || !GENERATION.test(name)) return undefined;
  const directory = await fs.openDirectory(root, name);
  if (directory === undefined) return undefined;
  return { name, directory, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

/** Reads the files of a generation. */
class GenerationReader {
  readonly files = new Map<string, PresentFile>();
  /** False if it contains anything but files and directories. */
  isRegular = true;
  readonly #fs: FileSystem;
  readonly #contents: ReadonlyMap<string, Uint8Array>;

  constructor(fs: FileSystem, contents: ReadonlyMap<string, Uint8Array>) {
    this.#fs = fs;
    this.#contents = contents;
  }

  async read(directory: Directory, prefix = '', depth = 0): Promise<void> {
    const others: string[] = [];
    for (const { name } of await this.#fs.list(directory)) {
      const path = prefix + name;
      const entry = await this.#fs.stat(directory, name);
      if (entry?.kind === 'file') {
        const { size, mode } = entry;
        const current = await this.#isCurrent(directory, name, { path, size });
        this.files.set(path, { size, mode, current });
      } else others.push(name);
    }
    for (const name of others) {
      using inner = depth < MAX_DEPTH ? await this.#fs.openDirectory(directory, name) : undefined;
      if (inner === undefined) this.isRegular = false;
      else await this.read(inner, `${prefix}${name}/`, depth + 1);
    }
  }

  async #isCurrent(
    directory: Directory,
    name: string,
    { path, size }: { readonly path: string; readonly size: number },
  ): Promise<boolean> {
    const content = this.#contents.get(path);
    if (content?.byteLength !== size) return false;
    try {
      return Buffer.from(await this.#fs.read(directory, name, size)).equals(content);
    } catch {
      return false; // unreadable, for example another owner: writing it again repairs it
    }
  }
}
