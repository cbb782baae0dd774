/**
 * Replaces the whole set of delivered files at once, laid out like a projected volume of Kubernetes:
 * `name -> ..data/name`, `..data -> ..<timestamp>_<random>/`, real files in there.
 *
 * @see https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go
 */
import type { OutputFile } from '../contracts/index.ts';
import {
  clashingPaths,
  describeClash,
  NO_LOGGER,
  outputPathProblem,
  problemsError,
  VouchsafeError,
  type Clock,
  type Logger,
  type Problem,
  type Random,
} from '../core/index.ts';
import { Semaphore } from '../async/index.ts';
import {
  discard,
  nodeFileSystem,
  outputError,
  type Directory,
  type FileSystem,
} from './file-system.ts';
import { buildFileTree, type FileTree } from './file-tree.ts';
import {
  DATA_LINK,
  DATA_LINK_TMP,
  generationName,
  LINKS_TMP,
  readPresentSet,
  visibleName,
  visibleTarget,
  type PresentSet,
} from './present-set.ts';

/**
 * How long the previous generation is kept after the swap, in milliseconds. The kubelet removes it at once, so that
 * a reader that is paused between the link and the file finds nothing. Ten seconds are longer than any scheduler
 * pauses a reader, and let a reader open several files of one generation through its directory. The next write
 * removes it earlier, so that a volume never needs space for three generations.
 */
const READER_GRACE_MS = 10_000;

/** The result of a write. */
interface WriteResult {
  /** Paths whose bytes differ for a reader, including new and removed files. */
  readonly changed: readonly string[];
  /** False if bytes and modes were already the same, and nothing was written. */
  readonly swapped: boolean;
}

/** Writes sets of files. */
export interface FileWriter {
  /**
   * Makes `files` the whole content of the directory. A reader sees the old set or the new one, never a
   * mixture, even if this process is killed. Concurrent calls run in order.
   *
   * Rejects with `ERR_OUTPUT_PATH` (a name is not valid, conflicts, or belongs to somebody else), `ERR_OUTPUT_FULL`,
   * `ERR_OUTPUT_READ_ONLY` or `ERR_OUTPUT_IO`, and on abort with `signal.reason`; the old set then stays.
   */
  write(files: readonly OutputFile[], signal: AbortSignal): Promise<WriteResult>;
}

/** Options of {@link createFileWriter}. */
export interface FileWriterOptions {
  /** Created if missing; may be a mount point or a symlink. Only one writer at a time may use it. */
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  /** Default: the real file system. */
  readonly fileSystem?: FileSystem;
}

/** A writer for one directory. */
export function createFileWriter(options: FileWriterOptions): FileWriter {
  return new AtomicFileWriter(options);
}

class AtomicFileWriter implements FileWriter {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #fs: FileSystem;
  readonly #lock = new Semaphore(1);
  /** The real path of the directory; set by the first write. */
  #realPath: string | undefined;
  #retired: { readonly name: string; readonly stop: AbortController } | undefined;

  constructor(options: FileWriterOptions) {
    this.#directory = options.directory;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger ?? NO_LOGGER;
    this.#fs = options.fileSystem ?? nodeFileSystem;
  }

  async write(files: readonly OutputFile[], signal: AbortSignal): Promise<WriteResult> {
    checkFiles(this.#directory, files);
    return this.#lock.run(signal, () => this.#write(files, signal));
  }

  async #write(files: readonly OutputFile[], signal: AbortSignal): Promise<WriteResult> {
    let presentBytes = 0;
    try {
      using root = await this.#openRoot();
      const contents = new Map(files.map(({ path, content }) => [path, content]));
      const present = await readPresentSet(this.#fs, root, contents);
      presentBytes = sum([...present.files.values()].map((file) => file.size));
      rejectForeign(root.path, present, files);
      const { changed, same } = compare(present, files);
      await this.#clean(root, present, same);
      if (!same) await this.#replace(root, present, { files, signal });
      await this.#dropLinks(root, present, files);
      this.#realPath = root.path;
      if (same) return { changed, swapped: false };
      this.#logger.debug('output set swapped', {
        directory: root.path,
        files: files.length,
        changed,
      });
      return { changed, swapped: true };
    } catch (error) {
      signal.throwIfAborted();
      const newBytes = sum(files.map((file) => file.content.byteLength));
      throw outputError(error, { directory: this.#directory, newBytes, presentBytes });
    }
  }

  /** Fails if the path leads elsewhere than at the first write: another process moved or replaced the directory. */
  async #openRoot(): Promise<Directory> {
    const root = await this.#fs.openRoot(this.#directory);
    const { path } = root;
    if (path === (this.#realPath ?? path)) return root;
    root[Symbol.dispose]();
    const text = `${this.#directory} led to ${this.#realPath} before and leads to ${path} now: put it back, or restart`;
    throw new VouchsafeError('ERR_OUTPUT_IO', text, { details: { directory: path } });
  }

  /** Removes leftovers of killed predecessors, and the previous generation if a new one is written. */
  async #clean(root: Directory, present: PresentSet, same: boolean): Promise<void> {
    const spared = same ? this.#retired?.name : undefined;
    if (!same) this.#retired?.stop.abort();
    for (const name of present.leftovers.filter((leftover) => leftover !== spared)) {
      await this.#fs.remove(root, name);
      const { path: directory } = root;
      this.#logger.debug('removed leftovers of an earlier write', { directory, entry: name });
    }
  }

  async #replace(
    root: Directory,
    present: PresentSet,
    { files, signal }: { readonly files: readonly OutputFile[]; readonly signal: AbortSignal },
  ): Promise<void> {
    const generation = this.#newName(present);
    const visible = new Set(files.map((file) => visibleName(file.path)));
    const added = [...visible].filter((name) => !present.links.has(name));
    using handles = new DisposableStack();
    let staged: Directory | undefined;
    // Everything that needs space is created before the swap; only renames and removals follow it.
    try {
      await this.#create(root, generation, { tree: buildFileTree(files), signal });
      staged = handles.use(await this.#stageLinks(root, added));
      await this.#fs.link(generation, root, DATA_LINK_TMP);
      await this.#fs.syncDirectory(root);
      signal.throwIfAborted();
      await this.#fs.rename(root, DATA_LINK_TMP, root, DATA_LINK);
    } catch (error) {
      for (const name of [generation, LINKS_TMP, DATA_LINK_TMP]) {
        await discard(this.#fs, root, name);
      }
      throw error;
    }
    if (staged !== undefined) await this.#publishLinks(root, staged, added);
    await this.#fs.syncDirectory(root);
    // Not awaited: it waits for readers, ends with the signal, and handles its own errors.
    if (present.generation !== undefined) void this.#retire(present.generation, signal);
  }

  #newName({ generation, leftovers }: PresentSet): string {
    for (let suffix = Math.floor(this.#random.next() * 2 ** 32); ; suffix += 1) {
      const name = generationName(this.#clock.now(), suffix);
      if (name !== generation && !leftovers.includes(name)) return name;
    }
  }

  async #create(
    parent: Directory,
    name: string,
    { tree, signal }: { readonly tree: FileTree<OutputFile>; readonly signal: AbortSignal },
  ): Promise<void> {
    using directory = await this.#fs.makeDirectory(parent, name);
    for (const [inner, { content, mode }] of tree.files) {
      signal.throwIfAborted();
      await this.#fs.createFile(directory, inner, content, mode);
    }
    for (const [inner, subtree] of tree.directories) {
      await this.#create(directory, inner, { tree: subtree, signal });
    }
    await this.#fs.sealDirectory(directory);
    if (await this.#fs.isNameOf(parent, name, directory)) return;
    const text = `${directory.path} was moved or replaced while it was written: another process changes ${this.#directory}`;
    throw new VouchsafeError('ERR_OUTPUT_IO', text, { details: { directory: directory.path } });
  }

  async #stageLinks(root: Directory, names: readonly string[]): Promise<Directory | undefined> {
    if (names.length === 0) return undefined;
    const staged = await this.#fs.makeDirectory(root, LINKS_TMP);
    try {
      for (const name of names) await this.#fs.link(visibleTarget(name), staged, name);
      return staged;
    } catch (error) {
      staged[Symbol.dispose]();
      throw error;
    }
  }

  async #publishLinks(root: Directory, staged: Directory, names: readonly string[]): Promise<void> {
    for (const name of names) await this.#fs.rename(staged, name, root);
    await this.#fs.remove(root, LINKS_TMP);
  }

  /** Removes visible links to files that no longer exist. */
  async #dropLinks(
    root: Directory,
    present: PresentSet,
    files: readonly OutputFile[],
  ): Promise<void> {
    const visible = new Set(files.map((file) => visibleName(file.path)));
    for (const name of present.links) {
      if (!visible.has(name)) await this.#fs.unlink(root, name);
    }
  }

  async #retire(generation: string, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    this.#retired = { name: generation, stop };
    // An abort ends the wait: old secrets do not outlive their writer.
    const waited = this.#clock.sleep(READER_GRACE_MS, AbortSignal.any([signal, stop.signal]));
    await waited.catch(() => undefined);
    if (stop.signal.aborted) return;
    try {
      await this.#lock.run(stop.signal, async () => {
        using root = await this.#openRoot();
        await this.#fs.remove(root, generation);
      });
    } catch {
      // Aborted, or not removable: the next swap, of this process or its successor, removes it.
    }
  }
}

function compare(
  present: PresentSet,
  files: readonly OutputFile[],
): { readonly changed: string[]; readonly same: boolean } {
  const next = new Set(files.map((file) => file.path));
  const removed = [...present.files.keys()].filter((path) => !next.has(path));
  const written = files.filter(({ path }) => present.files.get(path)?.current !== true);
  const changed = [...written.map((file) => file.path), ...removed];
  const sameModes = files.every(({ path, mode }) => present.files.get(path)?.mode === mode);
  // An empty set is a generation, too: readers find `..data`.
  const hasGeneration = present.generation !== undefined;
  const same = hasGeneration && present.intact && sameModes && changed.length === 0;
  return { changed, same };
}

function checkFiles(directory: string, files: readonly OutputFile[]): void {
  for (const { path, mode } of files) {
    if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
      throw new TypeError(`the mode of ${path} must be from 0 to 0o777`);
    }
  }
  const paths = files.map((file) => file.path);
  const problems: Problem[] = paths.flatMap((path) => {
    const problem = outputPathProblem(path);
    return problem === undefined ? [] : [{ path: JSON.stringify(path), message: problem }];
  });
  const clashes = clashingPaths(paths).map((clash) => ({
    path: JSON.stringify(clash.path),
    message: `it ${describeClash(clash)}`,
  }));
  if (problems.length + clashes.length === 0) return;
  const subject = `the files cannot be written to ${directory}`;
  throw problemsError('ERR_OUTPUT_PATH', subject, [...problems, ...clashes]);
}

function rejectForeign(root: string, present: PresentSet, files: readonly OutputFile[]): void {
  const needed = new Set([DATA_LINK, ...files.map((file) => visibleName(file.path))]);
  const conflicts = [...needed].filter((name) => present.foreign.has(name));
  if (conflicts.length === 0) return;
  throw new VouchsafeError(
    'ERR_OUTPUT_PATH',
    `${conflicts.join(', ')} in ${root} exists and does not belong to Vouchsafe: remove it, or choose ` +
      `another file name or directory`,
    { details: { directory: root, names: conflicts } },
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
