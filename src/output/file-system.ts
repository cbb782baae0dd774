/**
 * The few file operations of the writer, and what their errors mean. Ring: output; the only file here that
 * touches `node:fs`. Nothing in it follows a symlink below the output directory: each operation names one entry of
 * a directory that is held open.
 */
import * as fs from 'node:fs';
import { codeOf, VouchsafeError, type ErrorCode } from '../core/index.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY, O_DIRECTORY } = fs.constants;

/** Size and permission bits of what a name stands for, the name itself not followed. */
export interface Entry {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
  readonly mode: number;
}

/**
 * A directory held open; whoever opened it disposes of it. What is done in it is done in that very directory, also
 * after its name or one of its parents was moved or replaced by a symlink.
 */
export interface Directory extends Disposable {
  /** The path by which it was opened, for messages and logs. */
  readonly path: string;
  readonly descriptor: number;
  /** The directory as a path that the kernel resolves through {@link descriptor}. */
  readonly at: string;
}

type Result<T> = T | Promise<T>;

/** The operations of the writer; tests make single ones fail or take their time. */
export interface FileSystem {
  /** Makes a directory with its parents where they are missing. Its `path` is the real one, without symlinks. */
  openRoot(path: string): Result<Directory>;
  /** Undefined where the name stands for nothing, or for anything but a directory. */
  openDirectory(parent: Directory, name: string): Result<Directory | undefined>;
  /** Whether a name still stands for the directory that was opened by it. */
  isNameOf(parent: Directory, name: string, directory: Directory): Result<boolean>;
  list(directory: Directory): Result<fs.Dirent[]>;
  /** Undefined where there is nothing. */
  stat(parent: Directory, name: string): Result<Entry | undefined>;
  /** The first `maxBytes` of a file. */
  read(parent: Directory, name: string, maxBytes: number): Result<Uint8Array>;
  /** Target of a symlink; undefined for anything else, also for nothing. */
  readLink(parent: Directory, name: string): Result<string | undefined>;
  /** Fails when the name is taken, also by a dangling symlink. Only its owner can enter it so far. */
  makeDirectory(parent: Directory, name: string): Result<Directory>;
  /** Makes a new file, sets its mode whatever the umask is, and brings it to the disk. Fails when the name is taken. */
  createFile(parent: Directory, name: string, content: Uint8Array, mode: number): Result<void>;
  /** Opens a directory that is complete to everyone (0755) and brings its entries to the disk. */
  sealDirectory(directory: Directory): Result<void>;
  /** Brings the entries of a directory to the disk. */
  syncDirectory(directory: Directory): Result<void>;
  link(target: string, parent: Directory, name: string): Result<void>;
  /** Moves an entry, and renames it where `newName` is given; what has that name is replaced. */
  rename(from: Directory, name: string, to: Directory, newName?: string): Result<void>;
  unlink(parent: Directory, name: string): Result<void>;
  /** Removes whatever there is. */
  remove(parent: Directory, name: string): Result<void>;
}

const DIRECTORY_MODE = 0o755;
/** Deepest directory that is looked into: deeper than any file of ours can be, and few enough to hold open at once. */
export const MAX_DEPTH = 512;

/**
 * The real operations, each one a plain system call: the volume is memory, where a call takes microseconds and the
 * way through Node's thread pool a hundred times that.
 */
export const nodeFileSystem: FileSystem = {
  openRoot(path) {
    // Symlinks are followed on the way here, so what counts is where the handle turned out to be.
    const flags = O_RDONLY | O_DIRECTORY;
    const existing = undefinedOn(['ENOENT'], () => fs.openSync(path, flags));
    if (existing === undefined) fs.mkdirSync(path, { recursive: true });
    const descriptor = existing ?? fs.openSync(path, flags);
    try {
      if (existing === undefined) fs.fchmodSync(descriptor, DIRECTORY_MODE);
      return directoryOf(descriptor, realPath(descriptor, path));
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  },
  openDirectory,
  isNameOf(parent, name, { descriptor }) {
    const named = fs.lstatSync(join(parent, name), { throwIfNoEntry: false, bigint: true });
    const opened = fs.fstatSync(descriptor, { bigint: true });
    return named?.ino === opened.ino && named.dev === opened.dev;
  },
  list: (directory) => fs.readdirSync(directory.at, { withFileTypes: true }),
  stat(parent, name) {
    const stats = fs.lstatSync(join(parent, name), { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
    return { kind, size: stats.size, mode: stats.mode & 0o7777 };
  },
  read(parent, name, maxBytes) {
    // Without O_NONBLOCK a FIFO in place of the file would stop this process.
    const file = fs.openSync(join(parent, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const content = Buffer.alloc(maxBytes);
      let size = 0;
      for (let got = -1; got !== 0 && size < maxBytes; size += got) {
        got = fs.readSync(file, content, size, maxBytes - size, null);
      }
      return content.subarray(0, size);
    } finally {
      fs.closeSync(file);
    }
  },
  readLink: (parent, name) =>
    undefinedOn(['ENOENT', 'EINVAL'], () => fs.readlinkSync(join(parent, name))),
  makeDirectory(parent, name) {
    // The mode of mkdir is subject to the umask, and clearing a set-group-ID bit now would take the pod's
    // fsGroup away from the files to come; sealDirectory sets the mode when they are there.
    fs.mkdirSync(join(parent, name), 0o700);
    return openChild(parent, name);
  },
  createFile(parent, name, content, mode) {
    const flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY;
    const file = fs.openSync(join(parent, name), flags, 0o600);
    try {
      fs.writeFileSync(file, content);
      fs.fchmodSync(file, mode);
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  },
  sealDirectory({ descriptor }) {
    fs.fchmodSync(descriptor, DIRECTORY_MODE);
    fs.fsyncSync(descriptor);
  },
  syncDirectory: ({ descriptor }) => fs.fsyncSync(descriptor),
  link: (target, parent, name) => fs.symlinkSync(target, join(parent, name)),
  rename: (from, name, to, newName = name) => fs.renameSync(join(from, name), join(to, newName)),
  unlink: (parent, name) => fs.unlinkSync(join(parent, name)),
  remove(parent, name) {
    const stats = fs.lstatSync(join(parent, name), { throwIfNoEntry: false });
    if (stats !== undefined) remove(parent, Buffer.from(name), stats.isDirectory());
  },
};

/** Handles as paths: Node has no `openat` and its kin, but the kernel resolves these through the open handle. */
const HANDLES = '/proc/self/fd';

/**
 * Where the kernel has no such paths (macOS, in development) the handle is opened in the same way, but what is done
 * in the directory goes by its path: a parent that is swapped meanwhile would be followed.
 */
const HAS_HANDLES = fs.existsSync(HANDLES);

function directoryOf(descriptor: number, path: string): Directory {
  const at = HAS_HANDLES ? `${HANDLES}/${descriptor}` : path;
  return { path, descriptor, at, [Symbol.dispose]: () => fs.closeSync(descriptor) };
}

function realPath(descriptor: number, path: string): string {
  return HAS_HANDLES ? fs.readlinkSync(`${HANDLES}/${descriptor}`) : fs.realpathSync.native(path);
}

function join({ at }: Directory, name: string): string {
  return `${at}/${name}`;
}

function openChild(parent: Directory, name: string): Directory {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  return directoryOf(fs.openSync(join(parent, name), flags), `${parent.path}/${name}`);
}

function openDirectory(parent: Directory, name: string): Directory | undefined {
  return undefinedOn(['ENOENT', 'ENOTDIR', 'ELOOP'], () => openChild(parent, name));
}

/**
 * Names are bytes here, for somebody else may have made them, in no encoding that we know. `isDirectory` is what the
 * name stood for a moment ago: trying both would be slower than all the rest.
 */
function remove(parent: Directory, name: Buffer, isDirectory: boolean, depth = 0): void {
  const path = Buffer.concat([Buffer.from(`${parent.at}/`), name]);
  if (!isDirectory) {
    undefinedOn(['ENOENT'], () => fs.unlinkSync(path));
    return;
  }
  if (depth > MAX_DEPTH) {
    const text = `${parent.path} holds directories nested deeper than ${MAX_DEPTH}: remove them`;
    throw new VouchsafeError('ERR_OUTPUT_IO', text);
  }
  const descriptor = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  using directory = directoryOf(descriptor, parent.path);
  for (const inner of fs.readdirSync(directory.at, { encoding: 'buffer', withFileTypes: true })) {
    remove(directory, inner.name, inner.isDirectory(), depth + 1);
  }
  fs.rmdirSync(path);
}

/** What `operation` yields; undefined where it fails with one of `errnos`. */
function undefinedOn<T>(errnos: readonly string[], operation: () => T): T | undefined {
  try {
    return operation();
  } catch (error) {
    if (errnos.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** Removes what a failed write leaves, if possible: else the next one does, and the first error is the one to tell. */
export async function discard(
  fileSystem: FileSystem,
  parent: Directory,
  name: string,
): Promise<void> {
  try {
    await fileSystem.remove(parent, name);
  } catch {
    // Told above.
  }
}

/** Facts for the message of {@link outputError}. */
export interface WriteFacts {
  readonly directory: string;
  readonly newBytes: number;
  readonly presentBytes: number;
}

/** Turns an error of the file system into one of ours; one that is ours already stays as it is. */
export function outputError(error: unknown, facts: WriteFacts): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const { directory, newBytes, presentBytes } = facts;
  const [code, message] = describe(errno, directory, { newBytes, presentBytes });
  const details = { directory, errno, new_bytes: newBytes, present_bytes: presentBytes };
  return new VouchsafeError(code, message, { cause: error, details });
}

function describe(
  errno: string,
  directory: string,
  { newBytes, presentBytes }: Omit<WriteFacts, 'directory'>,
): [ErrorCode, string] {
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return [
        'ERR_OUTPUT_FULL',
        `the volume of ${directory} is full (${errno}): the new files (${newBytes} bytes) do not fit beside the ` +
          `present ones (${presentBytes} bytes), which stay; raise the size limit of the volume`,
      ];
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return [
        'ERR_OUTPUT_READ_ONLY',
        `${directory} cannot be written (${errno}); the present files stay: mount it writable for this process, ` +
          `and let its user or its fsGroup own it`,
      ];
    default:
      return [
        'ERR_OUTPUT_IO',
        `writing ${newBytes} bytes to ${directory} failed (${errno}); the present files stay: see that it is a directory on a healthy volume`,
      ];
  }
}

/** The name of a system error (`ENOSPC`); undefined for any other error. */
function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'syscall' in error ? codeOf(error) : undefined;
}
