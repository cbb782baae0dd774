/**
 * The mounts of volumes. The driver looks for them itself, and has the mounter mount and unmount.
 */
import { lstatSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VouchsafeError } from '../core/index.ts';
import { placeOf, type MounterPort, type MountSpec, type Place } from '../mounter/index.ts';

/** The mounts that this process sees; src/platform implements it. */
export interface MountsPort {
  list(): Promise<
    readonly { readonly target: string; readonly type: string; readonly source: string }[]
  >;
  isInMemory(path: string): Promise<boolean>;
}

/** What to mount, and at which target path. */
export type VolumeMount = Omit<MountSpec, keyof Place> & { readonly target: string };

/** The parts around {@link VolumeMounts}. */
export interface VolumeMountsOptions {
  readonly mounts: MountsPort;
  readonly mounter: MounterPort;
  /** Name of the driver: the source of its own mounts. */
  readonly source: string;
}

/** Mounts of this driver. */
export class VolumeMounts {
  readonly #options: VolumeMountsOptions;
  /** Target path -> identity of the mount that was last found there to be this driver's own. */
  readonly #mountIds = new Map<string, string>();

  constructor(options: VolumeMountsOptions) {
    this.#options = options;
  }

  /** Whether a volume is mounted at a target path. Lists the mounts only after a change: on a full node the list is long. */
  async isMounted(target: string): Promise<boolean> {
    const identity = mountIdentity(target);
    if (identity !== undefined && this.#mountIds.get(target) === identity) return true;
    const isOwn = await this.#isOwn(target);
    // If the identity is the same before and after, it is that of the mount in the list.
    if (isOwn && identity !== undefined && mountIdentity(target) === identity)
      this.#mountIds.set(target, identity);
    return isOwn;
  }

  /**
   * Has the mounter create the target and mount a tmpfs there, unless one is mounted.
   *
   * @throws VouchsafeError `ERR_CSI_MOUNT`; also if the mount does not reach this process.
   */
  async mount(spec: VolumeMount, signal: AbortSignal): Promise<void> {
    const { target, sizeBytes, group, selinux } = spec;
    const place = placeOf(target);
    if (place === undefined) throw mountError(`${target} is not the target path of a volume`);
    await this.#options.mounter.mount({ ...place, sizeBytes, group, selinux }, signal);
    if (await this.isMounted(target)) return;
    const text = `${target} is mounted, but the driver does not see it: does the volume pods of the DaemonSet propagate mounts?`;
    throw mountError(text);
  }

  /** Has the mounter remove mount and target; neither need exist. @throws VouchsafeError `ERR_CSI_MOUNT` */
  async unmount(target: string): Promise<void> {
    this.#mountIds.delete(target);
    const place = placeOf(target);
    // The driver mounts nowhere else.
    if (place !== undefined) await this.#options.mounter.unmount(place);
  }

  async #isOwn(target: string): Promise<boolean> {
    const { mounts, source } = this.#options;
    const place = await realPlaceOf(target);
    const found = (await mounts.list()).findLast((one) => one.target === place);
    return found?.type === 'tmpfs' && found.source === source;
  }
}

/**
 * Tells one tmpfs from another and from the directory below it: by its device number, which the kernel reuses, and the birth
 * time of its root. Undefined if there is nothing, or the kernel does not report the birth time.
 */
function mountIdentity(target: string): string | undefined {
  const found = lstatSync(target, { bigint: true, throwIfNoEntry: false });
  return found === undefined || found.birthtimeNs === 0n
    ? undefined
    : `${found.dev}:${found.birthtimeNs}`;
}

/** The kernel lists mounts by paths without symlinks; the target itself must not be one. */
async function realPlaceOf(target: string): Promise<string> {
  try {
    return join(await realpath(dirname(target)), basename(target));
  } catch {
    return target; // without a parent there is no mount
  }
}

function mountError(message: string): VouchsafeError {
  return new VouchsafeError('ERR_CSI_MOUNT', message);
}
