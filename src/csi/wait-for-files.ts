/**
 * The part of a publish that may take long: waiting until the files are written.
 */
import { DEADLINE, withDeadline } from '../async/index.ts';
import { VouchsafeError } from '../core/index.ts';
import type { DriverParts } from './ports.ts';
import type { Volume } from './volume.ts';

/**
 * Resolves when all files are there. The first call for a volume waits for less time than later ones.
 *
 * @throws VouchsafeError `ERR_CSI_PENDING` with the last error of the engine, `ERR_CSI_ENDED`, or why the start failed.
 */
export async function waitForFiles(
  volume: Volume,
  { clock, waits }: Pick<DriverParts, 'clock' | 'waits'>,
  signal: AbortSignal,
): Promise<void> {
  const ms = volume.state.calls.count === 1 ? waits.firstPublishMs : waits.laterPublishMs;
  try {
    await withDeadline({ clock, ms, signal }, (inner) => volume.delivered(inner));
  } catch (error) {
    throw error === DEADLINE ? pending(volume, ms) : error;
  }
}

function pending({ problem }: Volume, waitedMs: number): VouchsafeError {
  const cause = problem === undefined ? 'no error yet' : `${problem.code}: ${problem.message}`;
  return new VouchsafeError(
    'ERR_CSI_PENDING',
    `files not ready after ${waitedMs / 1000} s; still waiting; last cause: ${cause}`,
  );
}
