/**
 * Starts the engines of a predecessor's volumes: some at a time, and last those that were rendering when a driver died.
 */
import { VouchsafeError, type Clock } from '../core/index.ts';
import { FairShares, withDeadline } from '../async/index.ts';
import type { Volume } from './volume.ts';
import type { Waits } from './waits.ts';

/** Engines that start at once. */
const MAX_RESUMING = 18;

/** The parts around {@link startResumed}. */
export interface ResumingParts {
  readonly clock: Clock;
  readonly waits: Pick<Waits, 'resumeMs'>;
  /** Whether engines may still start. */
  readonly mayStart: () => boolean;
}

/** Starts the engines of volumes; resolves when all have started, rejects with the signal's reason on abort. */
export async function startResumed(
  volumes: readonly Volume[],
  parts: ResumingParts,
  signal: AbortSignal,
): Promise<void> {
  const turns = new FairShares(MAX_RESUMING);
  await Promise.all(
    volumes
      .filter(({ strikes }) => strikes.count === 0)
      .map((volume) => turns.run(volume.namespace, signal, () => startOne(volume, parts, signal))),
  );
  const struck = volumes.filter(({ strikes }) => strikes.count > 0);
  await startStruck(struck, parts, signal);
}

/** One at a time, each after a delay of its own, so that calls of the kubelet come first. */
async function startStruck(
  volumes: readonly Volume[],
  parts: ResumingParts,
  signal: AbortSignal,
): Promise<void> {
  for (const volume of volumes.toSorted((a, b) => a.strikes.count - b.strikes.count)) {
    const { count, delayMs } = volume.strikes;
    const text =
      `the driver ended ${count} times in a row while it rendered this volume; it therefore starts last, after at least ` +
      `${delayMs / 1000} s`;
    volume.reportDelay(
      new VouchsafeError('ERR_TEMPLATE_LIMIT', text, { details: { strikes: count } }),
    );
    await parts.clock.sleep(delayMs, signal);
    await startOne(volume, parts, signal);
  }
}

async function startOne(
  volume: Volume,
  { clock, waits, mayStart }: ResumingParts,
  signal: AbortSignal,
): Promise<void> {
  // A call of the kubelet may have removed the volume, or be about to mount it again.
  if (volume.state.kind !== 'waiting' || !mayStart()) return;
  volume.start();
  // Its errors are reported by the calls of the kubelet.
  await withDeadline({ clock, ms: waits.resumeMs, signal }, (inner) =>
    volume.delivered(inner),
  ).catch(() => undefined);
}
