/**
 * Makes a new volume: its plan, its record and its mount, but no engine yet.
 */
import { randomUUID } from 'node:crypto';
import type { VolumeMounts } from './mounting.ts';
import { planFor } from './planning.ts';
import type { DriverParts } from './ports.ts';
import type { PublishRequest } from './publish-request.ts';
import { bytesOfRecord, type Records } from './records.ts';
import { requireAudience } from './service-account-tokens.ts';
import { Volume, type VolumeParts } from './volume.ts';

/** The parts around a new volume. */
export interface PrepareOptions {
  readonly parts: DriverParts;
  readonly volumeParts: VolumeParts;
  readonly records: Records;
  readonly mounts: VolumeMounts;
}

/**
 * Prepares a volume for its engine; a failure leaves nothing behind.
 *
 * @throws VouchsafeError as `planFor` does, and `ERR_CSI_TOKEN`, `ERR_CSI_STATE`, `ERR_CSI_MOUNT`, `ERR_OUTPUT_FULL`.
 */
export async function prepareVolume(
  request: PublishRequest,
  { parts, volumeParts, records, mounts }: PrepareOptions,
  signal: AbortSignal,
): Promise<Volume> {
  const { tokens, ...spec } = request;
  const {
    document,
    sizeBytes,
    tokenAudience = null,
    warnings,
  } = await planFor(request, parts, signal);
  if (tokenAudience !== null) requireAudience(tokens, tokenAudience);
  const state = { isPublished: false, isEnding: false };
  const record = { spec, document, sizeBytes, tokenAudience, ...state };
  const volume = new Volume(await records.add(randomUUID(), record), volumeParts);
  for (const warning of warnings) volume.logger.warn('volume settings have warnings', { warning });
  try {
    volumeParts.budget.reserveRecord(volume, bytesOfRecord(record));
    await mounts.mount({ ...spec, sizeBytes }, signal);
  } catch (error) {
    volumeParts.budget.forget(volume);
    await records.remove(volume.stored.directory);
    throw error;
  }
  return volume;
}
