/**
 * How volumes end: engine, record, files and mount at once, and what they held in the background.
 */
import { VouchsafeError } from '../core/index.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { VolumeMounts } from './mounting.ts';
import type { Records } from './records.ts';
import type { Revocations } from './revocations.ts';
import type { VolumeSlots } from './volume-slots.ts';
import type { Volume } from './volume.ts';

/** The parts around a {@link VolumeRemover}. */
export interface RemoverOptions {
  readonly records: Records;
  readonly mounts: VolumeMounts;
  readonly budget: MemoryBudget;
  readonly slots: VolumeSlots;
  readonly revocations: Revocations;
}

/** Removes volumes; the caller holds the lock of each. */
export class VolumeRemover {
  readonly #options: RemoverOptions;
  /** Removed volumes whose engine has not ended yet. */
  readonly #lingering = new Set<Volume>();

  constructor(options: RemoverOptions) {
    this.#options = options;
  }

  /** Whether the engine of a removed volume at this target path has not ended yet. */
  hasLingering(target: string): boolean {
    return [...this.#lingering].some(({ spec }) => spec.target === target);
  }

  /** Ends the engine and removes the files. If it fails, it can be repeated. @throws VouchsafeError `ERR_CSI_MOUNT` */
  async removeFiles(volume: Volume): Promise<void> {
    const { records, mounts, budget } = this.#options;
    const { stored } = volume;
    if (!(await volume.end())) {
      // The pod does not wait for the engine; the next volume at this target does.
      this.#lingering.add(volume);
      void volume.stopped().finally(() => this.#lingering.delete(volume));
    }
    try {
      volume.saved(await records.save(stored, { ...stored.record, isEnding: true }));
    } catch (error) {
      // Should the driver end now, its successor sees from the missing mount that the volume is gone.
      volume.logger.warn('state of the volume was not saved', { error });
    }
    await mounts.unmount(volume.spec.target);
    budget.releaseFiles(volume);
  }

  /** Removes what is left of a volume that a predecessor was removing; `isTaken` where another volume has its target path. */
  async discard(volume: Volume, isTaken: boolean): Promise<void> {
    if (!isTaken) {
      await this.#options.mounts.unmount(volume.spec.target).catch((error: unknown) => {
        volume.logger.warn('volume of a predecessor was not removed', { error });
      });
    }
    this.revoke(volume);
  }

  /** Revokes what a removed volume held. It keeps its slot and its memory until that is done. */
  revoke(volume: Volume): void {
    const { revocations, slots, budget } = this.#options;
    revocations.add(volume, () => {
      slots.giveBack(volume.namespace);
      budget.forget(volume);
    });
  }
}

/** The error where the engine of another volume may still write to the target path. */
export function lingeringError(): VouchsafeError {
  const text = 'the engine of a volume at this target path has not ended yet; retry';
  return new VouchsafeError('ERR_CSI_BUSY', text);
}
