/**
 * What a driver leaves to its successor on the same node: one directory for each volume, in memory, readable only by
 * root. A record holds no secret; the state of the volume's engine, in the same directory, does.
 */
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, VouchsafeError } from '../core/index.ts';
import { createBackoff, retry } from '../async/index.ts';
import type { DriverParts } from './ports.ts';
import type { VolumeSpec } from './publish-request.ts';
import { strikesIn } from './strikes.ts';

const FILE_NAME = 'volume.json';
const VERSION = 1;

/** Tries to read the records of a predecessor: its volumes are worth a wait of some seconds. */
const MAX_READS = 5;

/** A volume as it was published. */
export interface VolumeRecord {
  readonly spec: VolumeSpec;
  /** The AgentConfig document of its engine; see `VolumePlan` of src/contracts. */
  readonly document: unknown;
  readonly sizeBytes: number;
  /** Audience of the kubelet's token that logs in; null where an SVID does. */
  readonly tokenAudience: string | null;
  /** True once a publish call has succeeded. */
  readonly isPublished: boolean;
  /** True once it is being removed: what it holds is still to be revoked. */
  readonly isEnding: boolean;
}

/** A record in its directory. */
export interface StoredRecord {
  /** Directory of the record and of the engine's state. */
  readonly directory: string;
  readonly record: VolumeRecord;
  /** How often in a row a driver has died while rendering the volume. */
  readonly strikes: number;
}

/** The parts around {@link Records}. */
export type RecordsOptions = Pick<DriverParts, 'mounts' | 'clock' | 'random' | 'logger' | 'waits'>;

/** The records of a node. */
export class Records {
  readonly #root: string;
  readonly #options: RecordsOptions;

  private constructor(root: string, options: RecordsOptions) {
    this.#root = root;
    this.#options = options;
  }

  /**
   * Opens the directory; creates it if it is missing.
   *
   * @throws VouchsafeError `ERR_CSI_STATE` if it is not in memory, or belongs to another user.
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
    if (!isOwn) throw stateError(`the state directory ${root} belongs to another user`);
    if (!isInMemory) {
      throw stateError(
        `the state directory ${root} is on a disk, where Vault tokens must not be stored: choose one on a tmpfs, such as /run/vouchsafe/csi of the node`,
      );
    }
    return new Records(root, options);
  }

  /**
   * The records of a predecessor. A record that is not of this version is removed, because no driver could use it. A
   * record that cannot be read is tried again, a few times.
   *
   * @throws VouchsafeError `ERR_CSI_STATE` if that does not help; no record is removed then.
   */
  async load(signal: AbortSignal): Promise<readonly StoredRecord[]> {
    const { clock, random, waits } = this.#options;
    const backoff = createBackoff({ ...waits.readRetry, random });
    let tries = 1;
    const shouldRetry = (): boolean => tries++ < MAX_READS;
    return retry(() => this.#loadOnce(), { backoff, clock, signal, shouldRetry });
  }

  async #loadOnce(): Promise<readonly StoredRecord[]> {
    const found: StoredRecord[] = [];
    try {
      for (const name of await readdir(this.#root)) {
        const directory = join(this.#root, name);
        const record = parseRecord(await readRecord(directory));
        if (record !== undefined) {
          found.push({ directory, record, strikes: await strikesIn(directory) });
        } else {
          this.#options.logger.error('state of a volume cannot be used: removing it', {
            directory,
          });
          await this.remove(directory);
        }
      }
      return found;
    } catch (cause) {
      const why = codeOf(cause) ?? 'unknown error';
      throw stateError(`the state of an earlier driver cannot be read: ${why}`, cause);
    }
  }

  /** Creates the directory of a new volume; `name` must never have been used before. */
  async add(name: string, record: VolumeRecord): Promise<StoredRecord> {
    const directory = join(this.#root, name);
    try {
      mkdirSync(directory, { mode: 0o700 });
      write(directory, record);
    } catch (cause) {
      await this.remove(directory).catch(() => undefined); // the first error is the one to report
      throw stateError('the state of the volume cannot be saved', cause);
    }
    return { directory, record, strikes: 0 };
  }

  /** Replaces a record. */
  save(stored: StoredRecord, record: VolumeRecord): Promise<StoredRecord> {
    return Promise.try(() => {
      write(stored.directory, record);
      return { ...stored, record };
    });
  }

  /** Removes a volume's directory; a missing one is no error. */
  async remove(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Memory that a record takes, in bytes. */
export function bytesOfRecord(record: VolumeRecord): number {
  return Buffer.byteLength(JSON.stringify(record));
}

/** Plain system calls: in memory they take microseconds, and a publish would wait for a thread before each of them. */
function write(directory: string, record: VolumeRecord): void {
  const temporary = join(directory, `.${FILE_NAME}.new`);
  rmSync(temporary, { force: true });
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const file = openSync(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  try {
    writeFileSync(file, JSON.stringify({ version: VERSION, ...record }));
  } finally {
    closeSync(file);
  }
  renameSync(temporary, join(directory, FILE_NAME));
}

/** Text of a record; empty if it is missing, as after a crash while it was created. */
async function readRecord(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, FILE_NAME), 'utf8');
  } catch (error) {
    const errno = codeOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return '';
    throw error;
  }
}

/** Only this program writes here, so the version is all there is to check. */
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
