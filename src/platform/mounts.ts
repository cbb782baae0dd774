/**
 * File systems in memory, by `mount` and `umount` of util-linux. Mounts are read from the kernel each time; nothing
 * is cached.
 */
import type { KnownMount, SystemMounts } from '../contracts/index.ts';
import { readFile, statfs } from 'node:fs/promises';
import { runProgram } from './util-linux.ts';

/** `statfs` of file systems that live in memory: tmpfs and ramfs. */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];

/** The directory that a program inherits as descriptor 3: the kernel resolves the link to that directory. */
const GIVEN_DIRECTORY = '/proc/self/fd/3/.';

/** One mounted file system. */
export interface Mount extends KnownMount {
  /** Where it is mounted. */
  readonly target: string;
}

/** Mounts as this process sees them. */
export interface Mounts {
  /** All mounts, in the kernel's order: the last one at a target is visible. */
  list(): Promise<readonly Mount[]>;
  /** Whether a directory is only in memory. */
  isInMemory(path: string): Promise<boolean>;
}

/** Mounts as a process with privileges uses them. Failures are rejected with a {@link MountError}. */
export interface PrivilegedMounts extends Mounts, SystemMounts {
  mountOf(descriptor: number): Promise<Mount | undefined>;
}

/** A program of util-linux failed; has its message. */
class MountError extends Error {
  override readonly name = 'MountError';
}

/** The mounts of the system. */
export const systemMounts: PrivilegedMounts = {
  list,
  async mountOf(descriptor) {
    const fields = await readFile(`/proc/self/fdinfo/${descriptor}`, 'utf8');
    const id = Number(/^mnt_id:\s*(\d+)$/m.exec(fields)?.[1]);
    return (await list()).find((mount) => mount.id === id);
  },
  mountTmpfs: ({ descriptor, source, options }) =>
    // No helper programs, no table in /etc, and no path but that of the descriptor.
    run('mount', descriptor, [
      ...['-i', '-n', '-c', '-t', 'tmpfs', '-o', options.join(','), source, GIVEN_DIRECTORY],
    ]),
  // Lazily: the open directory itself keeps the mount busy, and other processes may, too.
  unmount: (descriptor) => run('umount', descriptor, ['-i', '-n', '-c', '-l', GIVEN_DIRECTORY]),
  isInMemory: async (path) => IN_MEMORY.includes((await statfs(path)).type),
};

async function list(): Promise<readonly Mount[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/**
 * The mounts in the text of `/proc/self/mountinfo`; lines that are not mounts are skipped.
 *
 * @see https://www.kernel.org/doc/html/latest/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts
 */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    const [target, type, source] = [fields[4], fields[separator + 1], fields[separator + 2]];
    if (separator < 0 || target === undefined || type === undefined) return [];
    const id = Number(fields[0]);
    return [{ id, target: plain(target), type: plain(type), source: plain(source ?? '') }];
  });
}

/** Decodes the octal escapes of spaces, tabs, line feeds and backslashes. */
function plain(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

async function run(
  program: 'mount' | 'umount',
  descriptor: number,
  args: readonly string[],
): Promise<void> {
  const { code, message } = await runProgram(program, args, descriptor);
  if (code !== 0) throw new MountError(message);
}
