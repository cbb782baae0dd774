/**
 * The volumes that a predecessor on this node left, as its records and the kernel's mounts show them.
 */
import { statfs } from 'node:fs/promises';
import { savedBytes } from '../agent/index.ts';
import { bytesOfRecord, type Records, type StoredRecord } from './records.ts';
import { Volume, type VolumeParts } from './volume.ts';

/** Used when the mount has gone before `statfs` could look at it. */
const NO_FILES = { bsize: 0, blocks: 0, bfree: 0 };

/** What a predecessor left. */
export interface Predecessor {
  /** Volumes that are mounted: their engines are to go on. */
  readonly mounted: readonly Volume[];
  /** Volumes that are not mounted any more, or were being removed: only what they held is still to be revoked. */
  readonly gone: readonly Volume[];
}

/**
 * Reads the records of a predecessor, and reserves the memory that its volumes use, whether it fits or not.
 *
 * @throws VouchsafeError `ERR_CSI_STATE`
 */
export async function loadPredecessor(
  records: Records,
  parts: VolumeParts,
  signal: AbortSignal,
): Promise<Predecessor> {
  const mounted = new Map<string, StoredRecord>();
  const gone: StoredRecord[] = [];
  for (const stored of await records.load(signal)) {
    const { spec, isEnding } = stored.record;
    const isAlive = !isEnding && (await parts.isMounted(spec.target));
    if (!isAlive || mounted.has(spec.volumeId)) gone.push(stored);
    else mounted.set(spec.volumeId, stored);
  }
  // One after the other: thousands of files at once are more than a process may open.
  const found = { mounted: [] as Volume[], gone: [] as Volume[] };
  for (const stored of mounted.values()) found.mounted.push(await mountedVolume(stored, parts));
  for (const stored of gone) found.gone.push(await goneVolume(stored, parts));
  return found;
}

async function mountedVolume(stored: StoredRecord, parts: VolumeParts): Promise<Volume> {
  const volume = new Volume(stored, parts);
  const { bsize, blocks, bfree } = await statfs(volume.spec.target).catch(() => NO_FILES);
  parts.budget.adopt(volume, { files: (blocks - bfree) * bsize, ...(await leftBy(stored)) });
  return volume;
}

async function goneVolume(stored: StoredRecord, parts: VolumeParts): Promise<Volume> {
  const volume = new Volume(stored, parts);
  await volume.end();
  parts.budget.adopt(volume, await leftBy(stored));
  return volume;
}

/** What lies in memory beside the files, in bytes. */
async function leftBy({
  record,
  directory,
}: StoredRecord): Promise<{ readonly record: number; readonly values: number }> {
  return { record: bytesOfRecord(record), values: await savedBytes(directory) };
}
