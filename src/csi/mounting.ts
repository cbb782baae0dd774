/**
 * The tmpfs of a volume: made, found and taken away. Ring: csi.
 */
import { lstatSync } from 'node:fs';
import { lstat, mkdir, readdir, realpath, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf, VouchsafeError, type Logger } from '../core/index.ts';
import { Semaphore } from '../lifecycle/index.ts';

/** `mount` and `umount` at once. */
const MAX_PARALLEL = 4;

/** More mounts than this at one place are not of ours. */
const MAX_STACKED = 16;

/** Files, directories and links of one volume: two sets of as many files as a document may have. */
const MAX_INODES = 4096;

/** Mounting, as src/platform does it. */
export interface MountsPort {
  list(): Promise<
    readonly { readonly target: string; readonly type: string; readonly source: string }[]
  >;
  mountTmpfs(mount: {
    readonly target: string;
    readonly source: string;
    readonly options: readonly string[];
  }): Promise<void>;
  unmount(target: string, how: { readonly lazy: boolean }): Promise<void>;
  isInMemory(path: string): Promise<boolean>;
}

/** What a tmpfs is to be like. */
export interface TmpfsSpec {
  readonly target: string;
  readonly sizeBytes: number;
  /** Group that the files shall belong to. */
  readonly group: number | null;
  readonly selinux: string | null;
}

/** What {@link VolumeMounts} needs. */
export interface VolumeMountsOptions {
  readonly mounts: MountsPort;
  /** Name of the driver: that of the mounts that are ours. */
  readonly source: string;
  readonly logger: Logger;
}

/** Mounts of this driver. */
export class VolumeMounts {
  readonly #options: VolumeMountsOptions;
  readonly #turns = new Semaphore(MAX_PARALLEL);
  /** Target -> mark of what the kernel's table said is ours. */
  readonly #marks = new Map<string, string>();
  /** Kernels from 6.4 on can keep a tmpfs out of swap. */
  #hasNoswap = true;

  constructor(options: VolumeMountsOptions) {
    this.#options = options;
  }

  /** Whether a volume is mounted at a place. The table of a node full of pods is long: what has not changed is not looked up. */
  async isMounted(target: string): Promise<boolean> {
    const mark = markOf(target);
    if (mark !== undefined && this.#marks.get(target) === mark) return true;
    const isOwn = (await this.#topmost(target)) === 'own';
    // What is there before and after is what the table speaks of.
    if (isOwn && mark !== undefined && markOf(target) === mark) this.#marks.set(target, mark);
    return isOwn;
  }

  /** Makes the target and mounts, unless it is mounted. @throws VouchsafeError `ERR_CSI_MOUNT` */
  async mount(spec: TmpfsSpec, signal: AbortSignal): Promise<void> {
    const { target } = spec;
    await this.#turns.run(signal, async () => {
      // Nothing is mounted at a directory that was not there.
      if (!(await makeTarget(target)) && (await this.#isOwn(target))) return;
      try {
        await this.#mountTmpfs(spec);
      } catch (cause) {
        await rmdir(target).catch(() => undefined); // the error of the mount is the one to tell
        throw mountError(`cannot mount ${target}`, cause);
      }
    });
  }

  /**
   * Takes the mount and the target away; where there is neither, nothing. Somebody else's is left alone.
   *
   * @throws VouchsafeError `ERR_CSI_MOUNT`
   */
  async unmount(target: string): Promise<void> {
    this.#marks.delete(target);
    await this.#turns.run(new AbortController().signal, async () => {
      for (let count = 0; ; count += 1) {
        const found = await this.#topmost(target);
        if (found === undefined) break;
        if (found === 'foreign' || count >= MAX_STACKED) throw foreignMount(target);
        await this.#unmountOnce(target);
      }
      await removeTarget(target);
    });
  }

  /** Whether our mount is at a directory that was there. Anything else in it is an error. */
  async #isOwn(target: string): Promise<boolean> {
    const found = await this.#topmost(target);
    if (found === 'own') return true;
    if (found === 'foreign') throw foreignMount(target);
    // What is in it would be hidden, and would keep the target from being removed.
    if (await isEmptyDirectory(target)) return false;
    throw new VouchsafeError('ERR_CSI_MOUNT', `${target} is there, and is no empty directory`);
  }

  async #topmost(target: string): Promise<'own' | 'foreign' | undefined> {
    const { mounts, source } = this.#options;
    const place = await placeOf(target);
    const found = (await mounts.list()).findLast((one) => one.target === place);
    if (found === undefined) return undefined;
    return found.type === 'tmpfs' && found.source === source ? 'own' : 'foreign';
  }

  async #mountTmpfs(spec: TmpfsSpec): Promise<void> {
    const { mounts, source, logger } = this.#options;
    const { target } = spec;
    if (this.#hasNoswap) {
      try {
        await mounts.mountTmpfs({ target, source, options: [...optionsOf(spec), 'noswap'] });
        return;
      } catch (error) {
        // Whatever else went wrong may pass; in swap a secret would stay.
        if (!isOptionRefused(error)) throw error;
        // Where it is another option, the second try tells the reason.
        await mounts.mountTmpfs({ target, source, options: optionsOf(spec) });
        this.#hasNoswap = false;
        logger.warn('this kernel cannot keep volumes out of swap', { error });
        return;
      }
    }
    await mounts.mountTmpfs({ target, source, options: optionsOf(spec) });
  }

  /** A file that is open on the node is no reason to keep a pod from ending: its memory goes when it is closed. */
  async #unmountOnce(target: string): Promise<void> {
    const { mounts, logger } = this.#options;
    try {
      await mounts.unmount(target, { lazy: false });
    } catch (error) {
      logger.warn('volume is in use: it goes when that ends', { target, error });
      await mounts.unmount(target, { lazy: true }).catch((cause: unknown) => {
        throw mountError(`cannot unmount ${target}`, cause);
      });
    }
  }
}

/**
 * Tells one tmpfs from another and from the directory below it: its device number, which the kernel gives to the next
 * one when it is gone, and when its root was made. Undefined where there is nothing, or the kernel does not tell.
 */
function markOf(target: string): string | undefined {
  const found = lstatSync(target, { bigint: true, throwIfNoEntry: false });
  return found === undefined || found.birthtimeNs === 0n
    ? undefined
    : `${found.dev}:${found.birthtimeNs}`;
}

/** The kernel names mounts by paths without symlinks; the target itself must be none. */
async function placeOf(target: string): Promise<string> {
  try {
    return join(await realpath(dirname(target)), basename(target));
  } catch {
    return target; // without a parent there is no mount
  }
}

function optionsOf({ sizeBytes, group, selinux }: TmpfsSpec): readonly string[] {
  return [
    ...['rw', 'nosuid', 'nodev', 'noexec', `size=${sizeBytes}`, `nr_inodes=${MAX_INODES}`],
    // With the set-group-ID bit all that is made in it belongs to the group.
    ...(group === null ? ['mode=0755'] : ['mode=2755', `gid=${group}`]),
    ...(selinux === null ? [] : [selinux]),
  ];
}

/** The kubelet makes the parent. False where the target was there: it is mounted, or left by a reboot. */
async function makeTarget(target: string): Promise<boolean> {
  try {
    await mkdir(target, { mode: 0o750 });
    return true;
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') return false;
    throw mountError(`cannot make the target directory ${target}`, cause);
  }
}

async function isEmptyDirectory(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isDirectory() === true && (await readdir(path)).length === 0;
}

/** Never more than an empty directory: what is in another one is somebody's. */
async function removeTarget(target: string): Promise<void> {
  try {
    await rmdir(target);
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return;
    throw mountError(`cannot remove the target directory ${target}`, cause);
  }
}

function foreignMount(target: string): VouchsafeError {
  const text = `${target} is mounted, and not by this driver: unmount it on the node`;
  return new VouchsafeError('ERR_CSI_MOUNT', text);
}

function mountError(what: string, cause: unknown): VouchsafeError {
  const isText = cause instanceof Error && cause.name === 'MountError';
  const why = isText ? cause.message : (codeOf(cause) ?? 'unknown error');
  return new VouchsafeError('ERR_CSI_MOUNT', `${what}: ${why}`, { cause });
}

/** By the words of mount(8), before and since it uses the newer calls of the kernel; paths of targets have no spaces. */
function isOptionRefused(error: unknown): boolean {
  return error instanceof Error && /bad option|unknown parameter/i.test(error.message);
}
