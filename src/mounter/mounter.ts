/**
 * Mounts and unmounts the volumes of a node. The only privileged process of the product does nothing else, and trusts
 * no caller: a request names a pod and a volume, and results in a small tmpfs at the one path where the kubelet expects
 * that volume, or in an error.
 */
import type { SystemMounts } from '../contracts/index.ts';
import { codeOf, VouchsafeError, type Logger } from '../core/index.ts';
import { NEVER_ABORTED, Semaphore } from '../async/index.ts';
import {
  hasTarget,
  isEmpty,
  makeTarget,
  openTarget,
  openVolume,
  removeTarget,
  type Handle,
} from './handles.ts';
import { isPlace, targetOf, type Place } from './place.ts';

/** Runs of `mount` and `umount` at once. */
const MAX_PARALLEL = 4;

/** More mounts than this at one target cannot be the driver's. */
const MAX_STACKED = 16;

/** Files, directories and links of one volume: two sets of as many files as a document may have. */
const MAX_INODES = 4096;

/** Largest group ID: the next number means none. */
const MAX_GROUP = 2 ** 32 - 2;

/** The mount option of SELinux; its value cannot contain another option. */
const CONTEXT = /^context="[A-Za-z0-9_.:,-]{1,512}"$/;

/** A volume to mount. */
export interface MountSpec extends Place {
  /** In bytes. */
  readonly sizeBytes: number;
  /** Group that the files belong to; null for root's. */
  readonly group: number | null;
  /** Mount option `context="…"` of SELinux; null without one. */
  readonly selinux: string | null;
}

/** Mounts and unmounts, here or through a socket. */
export interface MounterPort {
  /** Creates the target and mounts, unless it is mounted. An abort ends the wait, not the mount. @throws VouchsafeError `ERR_CSI_MOUNT` */
  mount(spec: MountSpec, signal: AbortSignal): Promise<void>;
  /**
   * Removes mount and target; neither need exist. A foreign mount is an error, and is left alone.
   *
   * @throws VouchsafeError `ERR_CSI_MOUNT`
   */
  unmount(place: Place): Promise<void>;
}

/** Settings of a {@link Mounter}. */
export interface MounterOptions {
  readonly mounts: SystemMounts;
  /** Name of the driver: the source of its own mounts. */
  readonly source: string;
  /** The kubelet's directory of pods. */
  readonly podsDirectory: string;
  /** Largest volume, in bytes. */
  readonly maxBytes: number;
  readonly logger: Logger;
}

/** Mounts and unmounts by itself; needs CAP_SYS_ADMIN. */
export class Mounter implements MounterPort {
  readonly #options: MounterOptions;
  readonly #turns = new Semaphore(MAX_PARALLEL);
  /** Targets with a request in flight. */
  readonly #busy = new Set<string>();
  /** Whether the kernel can keep a tmpfs out of swap, as it can from 6.4 on. */
  #hasNoswap = true;

  constructor(options: MounterOptions) {
    this.#options = options;
  }

  async mount(spec: MountSpec, signal: AbortSignal): Promise<void> {
    checkSpec(spec, this.#options.maxBytes);
    const { podsDirectory } = this.#options;
    const target = targetOf(podsDirectory, spec);
    await this.#exclusive(target, signal, `cannot mount ${target}`, async () => {
      using volume = openVolume(podsDirectory, spec);
      const isNew = makeTarget(volume);
      using directory = openTarget(volume);
      // Nothing can be mounted at a new directory.
      if (!isNew && (await this.#isMounted(volume, directory, target))) return;
      try {
        await this.#mountTmpfs(directory, spec);
      } catch (cause) {
        tryRemove(volume); // the error of the mount is the one to report
        throw cause;
      }
    });
  }

  async unmount(place: Place): Promise<void> {
    checkPlace(place);
    const { podsDirectory, mounts } = this.#options;
    const target = targetOf(podsDirectory, place);
    await this.#exclusive(target, NEVER_ABORTED, `cannot unmount ${target}`, async () => {
      using volume = openIfThere(podsDirectory, place);
      if (volume === undefined) return;
      for (let count = 0; hasTarget(volume); count += 1) {
        using directory = openTarget(volume);
        const found = await this.#mountAt(volume, directory);
        if (found === 'nothing') break;
        if (found === 'foreign' || count >= MAX_STACKED) throw foreignMount(target);
        await mounts.unmount(directory.descriptor);
      }
      removeTarget(volume);
    });
  }

  /** Runs `work` unless another request for the target is in flight. The text of an error begins with `what`. */
  async #exclusive(
    target: string,
    signal: AbortSignal,
    what: string,
    work: () => Promise<void>,
  ): Promise<void> {
    if (this.#busy.has(target)) throw mountError(`${what}: another request for it is in flight`);
    this.#busy.add(target);
    try {
      await this.#turns.run(signal, work);
    } catch (cause) {
      if (cause instanceof VouchsafeError || signal.aborted) throw cause;
      throw mountError(`${what}: ${reasonOf(cause)}`, cause);
    } finally {
      this.#busy.delete(target);
    }
  }

  /** Whether the driver's mount is at an existing target. Any other content is an error. */
  async #isMounted(volume: Handle, directory: Handle, target: string): Promise<boolean> {
    const found = await this.#mountAt(volume, directory);
    if (found === 'foreign') throw foreignMount(target);
    // A mount would hide the content, which would later keep the target from being removed.
    if (found === 'own' || isEmpty(directory)) return found === 'own';
    throw mountError(`${target} exists and is not an empty directory`);
  }

  /** What is mounted at the target, by the kernel's mount ID, which cannot be forged by a name. */
  async #mountAt(volume: Handle, directory: Handle): Promise<'own' | 'foreign' | 'nothing'> {
    const { mounts, source } = this.#options;
    const below = await mounts.mountOf(volume.descriptor);
    const at = await mounts.mountOf(directory.descriptor);
    if (at === undefined || below === undefined) return 'foreign';
    if (at.id === below.id) return 'nothing';
    return at.type === 'tmpfs' && at.source === source ? 'own' : 'foreign';
  }

  async #mountTmpfs({ descriptor }: Handle, spec: MountSpec): Promise<void> {
    const { mounts, source, logger } = this.#options;
    const options = optionsOf(spec);
    if (this.#hasNoswap) {
      try {
        await mounts.mountTmpfs({ descriptor, source, options: [...options, 'noswap'] });
        return;
      } catch (error) {
        // Another error may be temporary, and without noswap a secret could get into swap.
        if (!isOptionRefused(error)) throw error;
        // If the kernel rejects another option, the second try throws.
        await mounts.mountTmpfs({ descriptor, source, options });
        this.#hasNoswap = false;
        logger.warn('this kernel cannot keep volumes out of swap', { error });
        return;
      }
    }
    await mounts.mountTmpfs({ descriptor, source, options });
  }
}

function checkPlace(place: Place): void {
  if (!isPlace(place)) throw mountError('not a volume of a pod');
}

function checkSpec(spec: MountSpec, maxBytes: number): void {
  checkPlace(spec);
  const { sizeBytes, group, selinux } = spec;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes > maxBytes) {
    throw mountError(`a volume may have 1 to ${maxBytes} bytes (csi.maxVolumeSize)`);
  }
  const isGroup = group === null || (Number.isInteger(group) && group >= 0 && group <= MAX_GROUP);
  if (!isGroup) throw mountError('not a valid group ID');
  if (selinux !== null && !CONTEXT.test(selinux)) throw mountError('not a valid SELinux context');
}

function optionsOf({ sizeBytes, group, selinux }: MountSpec): readonly string[] {
  return [
    ...['rw', 'nosuid', 'nodev', 'noexec', `size=${sizeBytes}`, `nr_inodes=${MAX_INODES}`],
    // With the set-group-ID bit everything that is created in it belongs to the group.
    ...(group === null ? ['mode=0755'] : ['mode=2755', `gid=${group}`]),
    ...(selinux === null ? [] : [selinux]),
  ];
}

function openIfThere(pods: string, place: Place): Handle | undefined {
  try {
    return openVolume(pods, place);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined; // the kubelet has removed it
    throw error;
  }
}

function tryRemove(volume: Handle): void {
  try {
    removeTarget(volume);
  } catch {
    // It stays as an empty directory, which the next try uses.
  }
}

/** The reason for the operator of the node. With `O_NOFOLLOW` and `O_DIRECTORY`, ENOTDIR means a symbolic link. */
function reasonOf(cause: unknown): string {
  if (cause instanceof Error && cause.name === 'MountError') return cause.message;
  const code = codeOf(cause);
  if (code === 'ENOTDIR' || code === 'ELOOP') return 'a part of the path is not a directory';
  return code ?? 'unknown error';
}

function foreignMount(target: string): VouchsafeError {
  return mountError(`${target} is mounted, but not by this driver: unmount it on the node`);
}

function mountError(message: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError('ERR_CSI_MOUNT', message, { cause });
}

/** By the messages of mount(8), with the kernel's old and new mount API. */
function isOptionRefused(error: unknown): boolean {
  return error instanceof Error && /bad option|unknown parameter/i.test(error.message);
}
