/**
 * How engines of a predecessor's volumes go on after the start of a driver: some at a time, and last those that a driver
 * has died over.
 */
import { VouchsafeError, type Clock } from '../core/index.ts';
import { FairShares } from '../async/index.ts';
import type { Volume } from './volume.ts';

/** Engines that go on at once. */
const MAX_RESUMING = 18;
/** How long one of them may hold up the next. */
const RESUMING_MS = 5000;

/** What {@link beginResumed} needs. */
export interface ResumingParts {
  readonly clock: Clock;
  /** Whether a volume is still to begin: its pod may have ended, or it was asked for meanwhile. */
  readonly isWaiting: (volume: Volume) => boolean;
}

/** Begins the engines of volumes; resolves when all have begun, rejects with the signal's reason on abort. */
export async function beginResumed(
  volumes: readonly Volume[],
  parts: ResumingParts,
  signal: AbortSignal,
): Promise<void> {
  const turns = new FairShares(MAX_RESUMING);
  await Promise.all(
    volumes
      .filter(({ strikes }) => strikes.count === 0)
      .map((volume) => turns.run(volume.namespace, signal, () => beginOne(volume, parts, signal))),
  );
  const struck = volumes.filter(({ strikes }) => strikes.count > 0);
  await beginStruck(struck, parts, signal);
}

/** One at a time and each after a delay of its own: whoever asks for anything else comes first, a pod that ends included. */
async function beginStruck(
  volumes: readonly Volume[],
  parts: ResumingParts,
  signal: AbortSignal,
): Promise<void> {
  for (const volume of volumes.toSorted((a, b) => a.strikes.count - b.strikes.count)) {
    const { count, delayMs } = volume.strikes;
    const text =
      `the driver ended ${count} times in a row while it rendered this volume, which begins last for that, after ` +
      `${delayMs / 1000} s and more`;
    volume.holdBack(
      new VouchsafeError('ERR_TEMPLATE_LIMIT', text, { details: { strikes: count } }),
    );
    await parts.clock.sleep(delayMs, signal);
    await beginOne(volume, parts, signal);
  }
}

async function beginOne(
  volume: Volume,
  { clock, isWaiting }: ResumingParts,
  signal: AbortSignal,
): Promise<void> {
  if (!isWaiting(volume)) return;
  volume.begin();
  const done = new AbortController();
  const limit = clock.sleep(RESUMING_MS, AbortSignal.any([signal, done.signal]));
  const ready = volume.delivered(signal);
  await Promise.race([ready, limit]).catch(() => undefined); // whoever asks is told
  done.abort();
  await limit.catch(() => undefined);
}
