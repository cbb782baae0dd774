/**
 * Finds the volumes that the kubelet has stopped asking for.
 */
import type { DriverParts } from './ports.ts';
import type { Volume } from './volume.ts';

/** What {@link sweepAbandoned} works on. */
export interface SweepOptions extends Pick<DriverParts, 'clock' | 'waits'> {
  /** The volumes of the moment; asked for before each search. */
  readonly volumes: () => Iterable<Volume>;
  readonly isMounted: (target: string) => Promise<boolean>;
  /** Removes a volume. A failure is logged, and the volume is tried again at the next search. */
  readonly remove: (volume: Volume) => Promise<void>;
}

/** Removes abandoned starts, and abandoned volumes whose mount is gone, until `signal` aborts. Then it rejects with its reason. */
export async function sweepAbandoned(options: SweepOptions, signal: AbortSignal): Promise<never> {
  const { clock, waits, volumes, isMounted, remove } = options;
  for (;;) {
    await clock.sleep(waits.sweepMs, signal);
    const now = clock.monotonicMs();
    for (const volume of volumes()) {
      if (now - volume.state.calls.lastMs <= waits.abandonedMs) continue;
      const { isPublished, spec } = volume.stored.record;
      // Where the mounts cannot be listed the volume stays, and the sweep goes on.
      if (isPublished && (await isMounted(spec.target).catch(() => true))) continue;
      volume.logger.warn('the kubelet no longer asks for the volume: removing it');
      await remove(volume).catch((error: unknown) => {
        volume.logger.error('volume was not removed', { error });
      });
    }
  }
}
