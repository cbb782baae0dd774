/**
 * The few file operations of the writer, and what their errors mean. Ring: output; the only file here that
 * touches `node:fs`. Nothing in it follows a symlink in the last part of a path, except `realpath`.
 */
import { constants, type Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import { VouchsafeError, type ErrorCode } from '../core/index.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, O_DIRECTORY } = constants;

/** Size and permission bits of what a name stands for, the name itself not followed. */
export interface Entry {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
  readonly mode: number;
}

/** The operations of the writer; tests make single ones fail. */
export interface FileSystem {
  /** Makes a directory with its parents where they are missing, and resolves symlinks on the way to it. */
  openRoot(path: string): Promise<string>;
  list(path: string): Promise<Dirent[]>;
  /** Undefined where there is nothing. */
  stat(path: string): Promise<Entry | undefined>;
  read(path: string): Promise<Uint8Array>;
  /** Target of a symlink; undefined for anything else, also for nothing. */
  readLink(path: string): Promise<string | undefined>;
  /** Fails when the name is taken, also by a dangling symlink. Only its owner can enter it so far. */
  makeDirectory(path: string): Promise<void>;
  /** Makes a new file, sets its mode whatever the umask is, and brings it to the disk. Fails when the name is taken. */
  createFile(path: string, content: Uint8Array, mode: number): Promise<void>;
  /** Opens a directory that is complete to everyone (0755) and brings its entries to the disk. */
  sealDirectory(path: string): Promise<void>;
  /** Brings the entries of a directory to the disk. */
  syncDirectory(path: string): Promise<void>;
  link(target: string, path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Removes whatever there is, symlinks not followed. */
  remove(path: string): Promise<void>;
}

const DIRECTORY_MODE = 0o755;

/** The real operations. */
export const nodeFileSystem: FileSystem = {
  async openRoot(path) {
    const made = await fs.mkdir(path, { recursive: true });
    if (made !== undefined) await fs.chmod(path, DIRECTORY_MODE);
    return fs.realpath(path);
  },
  list: (path) => fs.readdir(path, { withFileTypes: true }),
  async stat(path) {
    const stats = await fs.lstat(path).catch(undefinedIf('ENOENT'));
    if (stats === undefined) return undefined;
    const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
    return { kind, size: stats.size, mode: stats.mode & 0o7777 };
  },
  read: (path) => fs.readFile(path, { flag: O_RDONLY | O_NOFOLLOW }),
  readLink: (path) => fs.readlink(path).catch(undefinedIf('ENOENT', 'EINVAL')),
  // The mode of mkdir is subject to the umask, and clearing a set-group-ID bit now would take the pod's
  // fsGroup away from the files to come; sealDirectory sets the mode when they are there.
  makeDirectory: (path) => fs.mkdir(path, 0o700),
  async createFile(path, content, mode) {
    const file = await fs.open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
    try {
      await file.writeFile(content);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  sealDirectory: (path) =>
    withDirectory(path, async (directory) => {
      await directory.chmod(DIRECTORY_MODE);
      await directory.sync();
    }),
  syncDirectory: (path) => withDirectory(path, (directory) => directory.sync()),
  link: (target, path) => fs.symlink(target, path),
  rename: (from, to) => fs.rename(from, to),
  unlink: (path) => fs.unlink(path),
  remove: (path) => fs.rm(path, { recursive: true, force: true }),
};

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
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

function undefinedIf(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (codes.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  };
}

async function withDirectory(
  path: string,
  use: (directory: fs.FileHandle) => Promise<void>,
): Promise<void> {
  const directory = await fs.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    await use(directory);
  } finally {
    await directory.close();
  }
}
