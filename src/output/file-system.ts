/**
 * The few file operations of the writer, and what their errors mean. Ring: output; the only file here that
 * touches `node:fs`. Nothing in it follows a symlink in the last part of a path, except `realpath`.
 */
import * as fs from 'node:fs';
import { codeOf, VouchsafeError, type ErrorCode } from '../core/index.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, O_DIRECTORY } = fs.constants;

/** Size and permission bits of what a name stands for, the name itself not followed. */
export interface Entry {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
  readonly mode: number;
}

type Result<T> = T | Promise<T>;

/** The operations of the writer; tests make single ones fail or take their time. */
export interface FileSystem {
  /** Makes a directory with its parents where they are missing, and resolves symlinks on the way to it. */
  openRoot(path: string): Result<string>;
  list(path: string): Result<fs.Dirent[]>;
  /** Undefined where there is nothing. */
  stat(path: string): Result<Entry | undefined>;
  read(path: string): Result<Uint8Array>;
  /** Target of a symlink; undefined for anything else, also for nothing. */
  readLink(path: string): Result<string | undefined>;
  /** Fails when the name is taken, also by a dangling symlink. Only its owner can enter it so far. */
  makeDirectory(path: string): Result<void>;
  /** Makes a new file, sets its mode whatever the umask is, and brings it to the disk. Fails when the name is taken. */
  createFile(path: string, content: Uint8Array, mode: number): Result<void>;
  /** Opens a directory that is complete to everyone (0755) and brings its entries to the disk. */
  sealDirectory(path: string): Result<void>;
  /** Brings the entries of a directory to the disk. */
  syncDirectory(path: string): Result<void>;
  link(target: string, path: string): Result<void>;
  rename(from: string, to: string): Result<void>;
  unlink(path: string): Result<void>;
  /** Removes whatever there is, symlinks not followed. */
  remove(path: string): Result<void>;
}

const DIRECTORY_MODE = 0o755;

/**
 * The real operations, each one a plain system call: the volume is memory, where a call takes microseconds and the
 * way through Node's thread pool a hundred times that.
 */
export const nodeFileSystem: FileSystem = {
  openRoot(path) {
    const made = fs.mkdirSync(path, { recursive: true });
    if (made !== undefined) fs.chmodSync(path, DIRECTORY_MODE);
    return fs.realpathSync.native(path);
  },
  list: (path) => fs.readdirSync(path, { withFileTypes: true }),
  stat(path) {
    const stats = fs.lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
    return { kind, size: stats.size, mode: stats.mode & 0o7777 };
  },
  read: (path) => fs.readFileSync(path, { flag: O_RDONLY | O_NOFOLLOW }),
  readLink(path) {
    try {
      return fs.readlinkSync(path);
    } catch (error) {
      if (NO_LINK.includes(errnoOf(error))) return undefined;
      throw error;
    }
  },
  // The mode of mkdir is subject to the umask, and clearing a set-group-ID bit now would take the pod's
  // fsGroup away from the files to come; sealDirectory sets the mode when they are there.
  makeDirectory: (path) => fs.mkdirSync(path, 0o700),
  createFile(path, content, mode) {
    const file = fs.openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
    try {
      fs.writeFileSync(file, content);
      fs.fchmodSync(file, mode);
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  },
  sealDirectory: (path) =>
    withDirectory(path, (directory) => {
      fs.fchmodSync(directory, DIRECTORY_MODE);
      fs.fsyncSync(directory);
    }),
  syncDirectory: (path) => withDirectory(path, (directory) => fs.fsyncSync(directory)),
  link: (target, path) => fs.symlinkSync(target, path),
  rename: (from, to) => fs.renameSync(from, to),
  unlink: (path) => fs.unlinkSync(path),
  remove: (path) => fs.rmSync(path, { recursive: true, force: true }),
};

/** What `readlink` says of nothing, and of what is no link. */
const NO_LINK: readonly unknown[] = ['ENOENT', 'EINVAL'];

/** Removes what a failed write leaves, if possible: else the next one does, and the first error is the one to tell. */
export async function discard(fileSystem: FileSystem, path: string): Promise<void> {
  try {
    await fileSystem.remove(path);
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

function withDirectory(path: string, use: (directory: number) => void): void {
  const directory = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    use(directory);
  } finally {
    fs.closeSync(directory);
  }
}
