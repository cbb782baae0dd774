/**
 * Mounts the volumes of a node, and takes them away. This is all that the one privileged process of the
 * product does. It trusts nobody: whoever asks names a pod and a volume, and gets a small tmpfs at the one place where
 * the kubelet wants that volume, or nothing.
 */
import { codeOf, VouchsafeError, type Logger } from '../core/index.ts';
import { Semaphore } from '../async/index.ts';
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

/** `mount` and `umount` at once. */
const MAX_PARALLEL = 4;

/** More mounts than this at one place are not of ours. */
const MAX_STACKED = 16;

/** Files, directories and links of one volume: two sets of as many files as a document may have. */
const MAX_INODES = 4096;

/** Largest ID of a group: the next one stands for none. */
const MAX_GROUP = 2 ** 32 - 2;

/** An option of SELinux, with nothing in it that could be another option. */
const CONTEXT = /^context="[A-Za-z0-9_.:,-]{1,512}"$/;

/** What a volume is to be like. */
export interface MountSpec extends Place {
  /** In bytes. */
  readonly sizeBytes: number;
  /** Group that the files shall belong to. */
  readonly group: number | null;
  /** `context="…"`, as the kubelet says it. */
  readonly selinux: string | null;
}

/** Mounting and unmounting, here or by way of a socket. */
export interface MounterPort {
  /** Makes the target and mounts, unless it is mounted. Abort ends the waiting. @throws VouchsafeError `ERR_CSI_MOUNT` */
  mount(spec: MountSpec, signal: AbortSignal): Promise<void>;
  /**
   * Takes mount and target away; where there is neither, nothing. Somebody else's mount is left alone.
   *
   * @throws VouchsafeError `ERR_CSI_MOUNT`
   */
  unmount(place: Place): Promise<void>;
}

/** A mount, as the kernel tells it. */
export interface KnownMount {
  readonly id: number;
  readonly type: string;
  readonly source: string;
}

/** The kernel's mounts by open directories, as src/platform has them. */
export interface SystemMountsPort {
  /** The mount that an open file is on; undefined where it is not one of this process's. */
  mountOf(descriptor: number): Promise<KnownMount | undefined>;
  /** Mounts a tmpfs at an open directory; rejects with a `MountError` that has the words of `mount`. */
  mountTmpfs(mount: {
    readonly descriptor: number;
    readonly source: string;
    readonly options: readonly string[];
  }): Promise<void>;
  /** Takes away the mount whose root is open; who still uses it goes on until the end of that. */
  unmount(descriptor: number): Promise<void>;
}

/** What a {@link Mounter} works with. */
export interface MounterOptions {
  readonly mounts: SystemMountsPort;
  /** Name of the driver: the source of the mounts that are ours. */
  readonly source: string;
  /** The kubelet's directory of pods. */
  readonly podsDirectory: string;
  /** Most that a volume may have, in bytes. */
  readonly maxBytes: number;
  readonly logger: Logger;
}

/** The privileged part. */
export class Mounter implements MounterPort {
  readonly #options: MounterOptions;
  readonly #turns = new Semaphore(MAX_PARALLEL);
  /** Targets that are worked on. */
  readonly #busy = new Set<string>();
  /** Kernels from 6.4 on can keep a tmpfs out of swap. */
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
      // Nothing is mounted at a directory that was not there.
      if (!isNew && (await this.#isMounted(volume, directory, target))) return;
      try {
        await this.#mountTmpfs(directory, spec);
      } catch (cause) {
        tryRemove(volume); // the error of the mount is the one to tell
        throw cause;
      }
    });
  }

  async unmount(place: Place): Promise<void> {
    checkPlace(place);
    const { podsDirectory, mounts } = this.#options;
    const target = targetOf(podsDirectory, place);
    await this.#exclusive(target, NEVER, `cannot unmount ${target}`, async () => {
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

  /** One request for a target at a time; what goes wrong is told as what it was for. */
  async #exclusive(
    target: string,
    signal: AbortSignal,
    what: string,
    work: () => Promise<void>,
  ): Promise<void> {
    if (this.#busy.has(target)) throw mountError(`${what}: another request for it is under way`);
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

  /** Whether our mount is at a target that was there. Anything else in it is an error. */
  async #isMounted(volume: Handle, directory: Handle, target: string): Promise<boolean> {
    const found = await this.#mountAt(volume, directory);
    if (found === 'foreign') throw foreignMount(target);
    // What is in it would be hidden, and would keep the target from being removed.
    if (found === 'own' || isEmpty(directory)) return found === 'own';
    throw mountError(`${target} exists and is not an empty directory`);
  }

  /** What is mounted at the target: by the kernel's number of the mount, which no name can pretend to be. */
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
        // Whatever else went wrong may pass; in swap a secret would stay.
        if (!isOptionRefused(error)) throw error;
        // Where it is another option, the second try tells the reason.
        await mounts.mountTmpfs({ descriptor, source, options });
        this.#hasNoswap = false;
        logger.warn('this kernel cannot keep volumes out of swap', { error });
        return;
      }
    }
    await mounts.mountTmpfs({ descriptor, source, options });
  }
}

const NEVER = new AbortController().signal;

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
  if (!isGroup) throw mountError('not the ID of a group');
  if (selinux !== null && !CONTEXT.test(selinux)) throw mountError('not a context of SELinux');
}

function optionsOf({ sizeBytes, group, selinux }: MountSpec): readonly string[] {
  return [
    ...['rw', 'nosuid', 'nodev', 'noexec', `size=${sizeBytes}`, `nr_inodes=${MAX_INODES}`],
    // With the set-group-ID bit all that is made in it belongs to the group.
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
    // It is an empty directory, and the next try finds it.
  }
}

/** In words for whoever operates the node. A symbolic link is what `O_NOFOLLOW` with `O_DIRECTORY` says ENOTDIR of. */
function reasonOf(cause: unknown): string {
  if (cause instanceof Error && cause.name === 'MountError') return cause.message;
  const code = codeOf(cause);
  if (code === 'ENOTDIR' || code === 'ELOOP') return 'something on the way is not a directory';
  return code ?? 'unknown error';
}

function foreignMount(target: string): VouchsafeError {
  return mountError(`${target} is mounted, and not by this driver: unmount it on the node`);
}

function mountError(message: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError('ERR_CSI_MOUNT', message, { cause });
}

/** By the words of mount(8), before and since it uses the newer calls of the kernel; paths of targets have no spaces. */
function isOptionRefused(error: unknown): boolean {
  return error instanceof Error && /bad option|unknown parameter/i.test(error.message);
}
