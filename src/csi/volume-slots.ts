/**
 * How many volumes a node may have, and each namespace of them. A volume keeps its slot until what it held is revoked.
 */
import { FairShares } from '../async/index.ts';
import { VouchsafeError } from '../core/index.ts';

/** Memory of the driver for each volume, in bytes. One with three secrets takes 0.2 MiB. */
const BYTES_OF_VOLUME = 512 * 1024;
/** No kubelet runs more pods than that. */
const MAX_VOLUMES = 4096;

/** The slots of a node; a namespace has at most a third of them. */
export class VolumeSlots {
  readonly #shares: FairShares;

  /** `memoryLimitBytes` of the driver. */
  constructor(memoryLimitBytes: number) {
    const fitting = Math.floor(memoryLimitBytes / BYTES_OF_VOLUME);
    this.#shares = new FairShares(Math.max(1, Math.min(MAX_VOLUMES, fitting)));
  }

  /** Namespaces with the slots that they hold. */
  get holders(): ReadonlyMap<string, number> {
    return this.#shares.holders;
  }

  /** Takes a slot; `unrevoked` of the namespace's slots belong to removed volumes. @throws VouchsafeError `ERR_CSI_BUSY` */
  take(namespace: string, unrevoked: number): void {
    if (this.#shares.tryTake(namespace)) return;
    const { total, share } = this.#shares;
    throw new VouchsafeError(
      'ERR_CSI_BUSY',
      `the node may have ${total} volumes and namespace ${namespace} ${share} of them, including those whose token and leases ` +
        `are not revoked yet (${unrevoked}); raise the memory limit of the CSI driver (csi.resources)`,
    );
  }

  /** Takes a slot for a volume that exists already, whether one is free or not. */
  hold(namespace: string): void {
    this.#shares.hold(namespace);
  }

  giveBack(namespace: string): void {
    this.#shares.giveBack(namespace);
  }
}
