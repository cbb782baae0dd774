/**
 * What a driver leaves to its successor on the same node: one directory for each volume, in memory, for root alone.
 * A record holds no secret; beside it lies the state of the volume's engine, which does.
 */
import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, VouchsafeError } from '../core/index.ts';
import { createBackoff, retry } from '../async/index.ts';
import type { DriverParts } from './ports.ts';
import type { VolumeSpec } from './publish-request.ts';
import { strikesIn } from './strikes.ts';

const FILE_NAME = 'volume.json';
const VERSION = 1;

/** Tries to read what a predecessor left, and the waits between them: its volumes are worth some seconds. */
const MAX_READS = 5;
const READ_WAITS = { minMs: 200, maxMs: 2000 } as const;

/** A volume as it was published. */
export interface VolumeRecord {
  readonly spec: VolumeSpec;
  /** The document that its engine runs by; see `VolumePlan` of src/admission. */
  readonly document: unknown;
  readonly sizeBytes: number;
  /** Audience of the kubelet's token that logs in; null for SVIDs. */
  readonly tokenAudience: string | null;
  /** True once the kubelet was told that the files are there. */
  readonly isPublished: boolean;
  /** True once it is to go: what it holds is to be revoked, and nothing else. */
  readonly isEnding: boolean;
}

/** A record with its place. */
export interface KeptRecord {
  /** Directory of the record and of the engine's state. */
  readonly directory: string;
  readonly record: VolumeRecord;
  /** How often in a row a driver has died while it rendered the volume. */
  readonly strikes: number;
}

/** What {@link Records} need. */
export type RecordsOptions = Pick<DriverParts, 'mounts' | 'clock' | 'random' | 'logger'>;

/** The records of a node. */
export class Records {
  readonly #root: string;
  readonly #options: RecordsOptions;

  private constructor(root: string, options: RecordsOptions) {
    this.#root = root;
    this.#options = options;
  }

  /**
   * Opens the directory, making it where it is missing.
   *
   * @throws VouchsafeError `ERR_CSI_STATE` for one that is not in memory, or that others could read.
   */
  static async open(root: string, options: RecordsOptions): Promise<Records> {
    let isInMemory: boolean;
    let isOwn: boolean;
    try {
      await mkdir(root, { recursive: true, mode: 0o700 });
      await chmod(root, 0o700);
      const found = await lstat(root);
      isOwn = found.isDirectory() && found.uid === process.getuid?.();
      isInMemory = await options.mounts.isInMemory(root);
    } catch (cause) {
      throw stateError(`the state directory ${root} cannot be used`, cause);
    }
    if (!isOwn) throw stateError(`the state directory ${root} belongs to somebody else`);
    if (!isInMemory) {
      throw stateError(
        `the state directory ${root} is on a disk, where Vault tokens must not lie: choose one on a tmpfs, such as /run/vouchsafe/csi of the node`,
      );
    }
    return new Records(root, options);
  }

  /**
   * Everything that a predecessor left. What is no record of this version is removed: nobody could go on with it. What
   * the system does not let be read is tried again, a few times.
   *
   * @throws VouchsafeError `ERR_CSI_STATE` where that does not help; nothing is forgotten then.
   */
  async load(signal: AbortSignal): Promise<readonly KeptRecord[]> {
    const { clock, random } = this.#options;
    const backoff = createBackoff({ ...READ_WAITS, random });
    let tries = 1;
    const shouldRetry = (): boolean => tries++ < MAX_READS;
    return retry(() => this.#loadOnce(), { backoff, clock, signal, shouldRetry });
  }

  async #loadOnce(): Promise<readonly KeptRecord[]> {
    const kept: KeptRecord[] = [];
    try {
      for (const name of await readdir(this.#root)) {
        const directory = join(this.#root, name);
        const record = parseRecord(await readRecord(directory));
        if (record !== undefined) {
          kept.push({ directory, record, strikes: await strikesIn(directory) });
        } else {
          this.#options.logger.error('state of a volume cannot be used: it is forgotten', {
            directory,
          });
          await this.remove(directory);
        }
      }
      return kept;
    } catch (cause) {
      const why = codeOf(cause) ?? 'unknown error';
      throw stateError(`what an earlier driver left cannot be read: ${why}`, cause);
    }
  }

  /** Makes the place of a new volume; `name` is unique for all time. */
  async add(name: string, record: VolumeRecord): Promise<KeptRecord> {
    const directory = join(this.#root, name);
    try {
      await mkdir(directory, { mode: 0o700 });
      await write(directory, record);
    } catch (cause) {
      await this.remove(directory).catch(() => undefined); // the first error is the one to tell
      throw stateError('the state of the volume cannot be kept', cause);
    }
    return { directory, record, strikes: 0 };
  }

  /** Replaces a record. */
  async save(kept: KeptRecord, record: VolumeRecord): Promise<KeptRecord> {
    await write(kept.directory, record);
    return { ...kept, record };
  }

  /** Forgets a volume. */
  async remove(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true });
  }
}

async function write(directory: string, record: VolumeRecord): Promise<void> {
  const temporary = join(directory, `.${FILE_NAME}.new`);
  await rm(temporary, { force: true });
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const file = await open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  try {
    await file.writeFile(JSON.stringify({ version: VERSION, ...record }));
  } finally {
    await file.close();
  }
  await rename(temporary, join(directory, FILE_NAME));
}

/** Text of a record; empty where there is none, as after an end in the middle of its making. */
async function readRecord(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, FILE_NAME), 'utf8');
  } catch (error) {
    const errno = codeOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return '';
    throw error;
  }
}

/** Only this program writes here: the version decides whether it is the one that this program knows. */
function parseRecord(text: string): VolumeRecord | undefined {
  try {
    const { version, ...record } = JSON.parse(text) as VolumeRecord & { readonly version: number };
    return version === VERSION ? record : undefined;
  } catch {
    return undefined;
  }
}

function stateError(message: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError('ERR_CSI_STATE', message, { cause });
}
