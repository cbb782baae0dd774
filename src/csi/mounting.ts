/**
 * The mounts of volumes, as the engine sees them: it looks for them itself, and has them made and taken away by the
 * mounter.
 */
import { lstatSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VouchsafeError } from '../core/index.ts';
import { placeOf, type MounterPort, type MountSpec, type Place } from '../mounter/index.ts';

/** What this process sees of the kernel's mounts, as src/platform has it. */
export interface MountsPort {
  list(): Promise<
    readonly { readonly target: string; readonly type: string; readonly source: string }[]
  >;
  isInMemory(path: string): Promise<boolean>;
}

/** What a volume is to be like. */
export type VolumeMount = Omit<MountSpec, keyof Place> & { readonly target: string };

/** What {@link VolumeMounts} needs. */
export interface VolumeMountsOptions {
  readonly mounts: MountsPort;
  readonly mounter: MounterPort;
  /** Name of the driver: that of the mounts that are ours. */
  readonly source: string;
}

/** Mounts of this driver. */
export class VolumeMounts {
  readonly #options: VolumeMountsOptions;
  /** Target -> mark of what the kernel's table said is ours. */
  readonly #mountIds = new Map<string, string>();

  constructor(options: VolumeMountsOptions) {
    this.#options = options;
  }

  /** Whether a volume is mounted at a place. The table of a node full of pods is long: what has not changed is not looked up. */
  async isMounted(target: string): Promise<boolean> {
    const mark = mountIdentity(target);
    if (mark !== undefined && this.#mountIds.get(target) === mark) return true;
    const isOwn = await this.#isOwn(target);
    // What is there before and after is what the table speaks of.
    if (isOwn && mark !== undefined && mountIdentity(target) === mark)
      this.#mountIds.set(target, mark);
    return isOwn;
  }

  /**
   * Has the target made and a tmpfs mounted there, unless it is.
   *
   * @throws VouchsafeError `ERR_CSI_MOUNT`; also where the mount does not reach this process.
   */
  async mount(wanted: VolumeMount, signal: AbortSignal): Promise<void> {
    const { target, sizeBytes, group, selinux } = wanted;
    const place = placeOf(target);
    if (place === undefined) throw mountError(`${target} is not the target path of a volume`);
    await this.#options.mounter.mount({ ...place, sizeBytes, group, selinux }, signal);
    if (await this.isMounted(target)) return;
    const text = `${target} is mounted, but not seen here: does the volume pods of the DaemonSet propagate mounts?`;
    throw mountError(text);
  }

  /** Has mount and target taken away; where there is neither, nothing. @throws VouchsafeError `ERR_CSI_MOUNT` */
  async unmount(target: string): Promise<void> {
    this.#mountIds.delete(target);
    const place = placeOf(target);
    // Nothing of ours can be anywhere else.
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
 * Tells one tmpfs from another and from the directory below it: its device number, which the kernel gives to the next
 * one when it is gone, and when its root was made. Undefined where there is nothing, or the kernel does not tell.
 */
function mountIdentity(target: string): string | undefined {
  const found = lstatSync(target, { bigint: true, throwIfNoEntry: false });
  return found === undefined || found.birthtimeNs === 0n
    ? undefined
    : `${found.dev}:${found.birthtimeNs}`;
}

/** The kernel names mounts by paths without symlinks; the target itself must be none. */
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
