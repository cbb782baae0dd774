/**
 * File systems in memory, by `mount` and `umount` of util-linux. Ring: platform. What is mounted is what the kernel
 * says, each time anew: nothing is remembered here.
 */
import { readFile, statfs } from 'node:fs/promises';
import { runProgram } from './util-linux.ts';

/** `statfs` of file systems that live in memory: tmpfs and ramfs. */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];

/** One mounted file system. */
export interface Mount {
  /** Where it is mounted. */
  readonly target: string;
  readonly type: string;
  /** What was given as its device; for tmpfs a name of choice. */
  readonly source: string;
}

/** A tmpfs to mount. */
export interface TmpfsMount {
  /** An empty directory. */
  readonly target: string;
  readonly source: string;
  /** Options of mount(8), such as `size=16777216`. */
  readonly options: readonly string[];
}

/** Mounting. */
export interface Mounts {
  /** Every mount that this process sees, in the order of the kernel: of two at one place the later one is seen. */
  list(): Promise<readonly Mount[]>;
  /** Mounts; rejects with the words of `mount`. */
  mountTmpfs(mount: TmpfsMount): Promise<void>;
  /** Takes away the topmost mount of a place; `lazy` lets those who still use it go on until they are done. */
  unmount(target: string, how: { readonly lazy: boolean }): Promise<void>;
  /** Whether a directory is in memory alone. */
  isInMemory(path: string): Promise<boolean>;
}

/** Why a program of util-linux did not do it. */
export class MountError extends Error {
  override readonly name = 'MountError';
}

/** The real ones. */
export const systemMounts: Mounts = {
  list: async () => parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8')),
  mountTmpfs: ({ target, source, options }) =>
    // No helper programs, no table in /etc, and no path but the one that was given.
    run('mount', ['-i', '-n', '-c', '-t', 'tmpfs', '-o', options.join(','), source, target]),
  unmount: (target, { lazy }) => run('umount', ['-i', '-n', '-c', ...(lazy ? ['-l'] : []), target]),
  isInMemory: async (path) => IN_MEMORY.includes((await statfs(path)).type),
};

/**
 * The mounts in the text of `/proc/self/mountinfo`; lines that are none are skipped.
 *
 * @see https://www.kernel.org/doc/html/latest/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts
 */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    const [target, type, source] = [fields[4], fields[separator + 1], fields[separator + 2]];
    if (separator < 0 || target === undefined || type === undefined) return [];
    return [{ target: plain(target), type: plain(type), source: plain(source ?? '') }];
  });
}

/** Spaces, tabs, line feeds and backslashes stand as octal numbers, byte by byte. */
function plain(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

async function run(program: 'mount' | 'umount', args: readonly string[]): Promise<void> {
  const { code, words } = await runProgram(program, args);
  if (code !== 0) throw new MountError(words);
}
