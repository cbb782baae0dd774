/**
 * The file operations of the writer and the mapping of their errors; the only file here that imports `node:fs`. No
 * operation follows a symlink below the output directory: each takes one entry of a directory that is held open.
 */
import * as fs from 'node:fs';
import { codeOf, VouchsafeError, type ErrorCode } from '../core/index.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY, O_DIRECTORY } = fs.constants;

/** Kind, size and permission bits of an entry; symlinks are not followed. */
interface Entry {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
  readonly mode: number;
}

/**
 * A directory held open; the caller that opened it disposes of it. Operations apply to this directory even after its
 * name or one of its parents was moved or replaced by a symlink.
 */
export interface Directory extends Disposable {
  /** The path at which it was opened, for messages and logs. */
  readonly path: string;
  readonly descriptor: number;
  /** A path that the kernel resolves through {@link descriptor}. */
  readonly at: string;
}

type Result<T> = T | Promise<T>;

/** The operations of the writer; tests make single operations fail or wait. */
export interface FileSystem {
  /** Opens a directory, created with its parents if missing. Its `path` is the real one, without symlinks. */
  openRoot(path: string): Result<Directory>;
  /** Undefined if the entry is missing or not a directory. */
  openDirectory(parent: Directory, name: string): Result<Directory | undefined>;
  /** Whether the entry is still the directory that was opened by this name. */
  isNameOf(parent: Directory, name: string, directory: Directory): Result<boolean>;
  list(directory: Directory): Result<fs.Dirent[]>;
  /** Undefined if the entry is missing. */
  stat(parent: Directory, name: string): Result<Entry | undefined>;
  /** The first `maxBytes` of a file. */
  read(parent: Directory, name: string, maxBytes: number): Result<Uint8Array>;
  /** Target of a symlink; undefined for other entries and missing ones. */
  readLink(parent: Directory, name: string): Result<string | undefined>;
  /** Creates a directory with mode 0700. Fails if the name exists, even as a dangling symlink. */
  makeDirectory(parent: Directory, name: string): Result<Directory>;
  /** Creates a file with this mode, whatever the umask is, and syncs it. Fails if the name exists. */
  createFile(parent: Directory, name: string, content: Uint8Array, mode: number): Result<void>;
  /** Sets the mode of a complete directory to 0755 and syncs it. */
  sealDirectory(directory: Directory): Result<void>;
  /** Syncs the entries of a directory. */
  syncDirectory(directory: Directory): Result<void>;
  link(target: string, parent: Directory, name: string): Result<void>;
  /** Moves an entry, to `newName` if set, and replaces an existing entry of that name. */
  rename(from: Directory, name: string, to: Directory, newName?: string): Result<void>;
  unlink(parent: Directory, name: string): Result<void>;
  /** Removes an entry of any kind, recursively; a missing one is not an error. */
  remove(parent: Directory, name: string): Result<void>;
}

const DIRECTORY_MODE = 0o755;
/** Deepest directory that is read: deeper than any delivered file, and few enough to hold open at once. */
export const MAX_DEPTH = 512;

/**
 * The real operations, as synchronous system calls: the volume is in memory, where a call takes microseconds, and
 * Node's thread pool would take a hundred times as long.
 */
export const nodeFileSystem: FileSystem = {
  openRoot(path) {
    // Symlinks are followed here, so the real path is read from the handle.
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
    // Without O_NONBLOCK a FIFO in place of the file would block this process.
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
    // The mode of mkdir is subject to the umask, and clearing the set-group-ID bit now would remove the pod's
    // fsGroup from files created later; sealDirectory sets the mode after that.
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

/** Node has no `openat`, but the kernel resolves these paths through the open handle. */
const HANDLES = '/proc/self/fd';

/**
 * Without such paths (macOS, in development) operations use the directory's path: a parent that is swapped meanwhile
 * would be followed.
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
 * Names are bytes here: another process may have created them in any encoding. `isDirectory` is from the listing:
 * trying both would take longer than everything else.
 */
function remove(parent: Directory, name: Buffer, isDirectory: boolean, depth = 0): void {
  const path = Buffer.concat([Buffer.from(`${parent.at}/`), name]);
  if (!isDirectory) {
    undefinedOn(['ENOENT'], () => fs.unlinkSync(path));
    return;
  }
  if (depth > MAX_DEPTH) {
    const text = `${parent.path} contains directories nested deeper than ${MAX_DEPTH}: remove them`;
    throw new VouchsafeError('ERR_OUTPUT_IO', text);
  }
  const descriptor = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  using directory = directoryOf(descriptor, parent.path);
  for (const inner of fs.readdirSync(directory.at, { encoding: 'buffer', withFileTypes: true })) {
    remove(directory, inner.name, inner.isDirectory(), depth + 1);
  }
  fs.rmdirSync(path);
}

/** The result of `operation`; undefined if it fails with one of `errnos`. */
function undefinedOn<T>(errnos: readonly string[], operation: () => T): T | undefined {
  try {
    return operation();
  } catch (error) {
    if (errnos.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** Removes the rest of a failed write if possible; otherwise the next write does. The first error is the one to report. */
export async function discard(
  fileSystem: FileSystem,
  parent: Directory,
  name: string,
): Promise<void> {
  try {
    await fileSystem.remove(parent, name);
  } catch {
    // The caller reports the first error.
  }
}

/** Sizes and directory for the message of {@link outputError}. */
export interface WriteFacts {
  readonly directory: string;
  readonly newBytes: number;
  readonly presentBytes: number;
}

/** Turns an error of the file system into a `VouchsafeError`; other errors are returned unchanged. */
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
          `old ones (${presentBytes} bytes), which stay; raise the size limit of the volume`,
      ];
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return [
        'ERR_OUTPUT_READ_ONLY',
        `${directory} cannot be written (${errno}); the old files stay: mount it writable for this process, ` +
          `owned by its user or its fsGroup`,
      ];
    default:
      return [
        'ERR_OUTPUT_IO',
        `writing ${newBytes} bytes to ${directory} failed (${errno}); the old files stay: check that it is a directory on a healthy volume`,
      ];
  }
}

/** The name of a system error (`ENOSPC`); undefined for any other error. */
function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'syscall' in error ? codeOf(error) : undefined;
}
