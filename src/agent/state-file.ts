/**
 * What one process leaves to the next one of the same pod: init container to sidecar, or a container to
 * its restart. Ring: agent. The file holds the token and leased values: mode 0600, in a private in-memory volume.
 */
import { constants } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VouchsafeError, type Clock, type Dependency } from '../core/index.ts';

const FILE_NAME = 'state.json';
const VERSION = 2;

/** A saved Vault token. Durations count from the moment of saving. */
export interface SavedSession {
  readonly token: string;
  readonly fullTtlMs: number;
  readonly isBatch: boolean;
  readonly renewable: boolean;
  readonly ageMs: number;
  readonly action: 'renew' | 'fetch';
  /** null: never. */
  readonly dueInMs: number | null;
  readonly expiresInMs: number | null;
}

/** A saved value. Durations count from the moment of saving. */
export interface SavedValue {
  readonly dependency: Dependency;
  readonly refreshMs: number;
  readonly value: unknown;
  readonly lease: { readonly id: string; readonly fullMs: number } | null;
  readonly action: 'renew' | 'fetch';
  readonly dueInMs: number | null;
  readonly expiresInMs: number | null;
}

/** All that a successor needs. */
export interface SavedState {
  /** Fingerprint of connection and login: another one makes the state useless. */
  readonly identity: string;
  readonly logins: number;
  /** Whether the files have been written at least once. */
  readonly isDelivered: boolean;
  /** Digest of each file, by its path, as the application was last told of it. */
  readonly told: Readonly<Record<string, string>>;
  readonly session: SavedSession | null;
  readonly values: readonly SavedValue[];
}

interface Envelope {
  readonly version: number;
  readonly bootId: string;
  readonly savedAtWallMs: number;
  readonly savedAtMonotonicMs: number;
  readonly state: SavedState;
}

/** A state and how long ago it was saved. */
export interface LoadedState {
  readonly state: SavedState;
  readonly elapsedMs: number;
}

/** Keeps the state in one directory. */
export class StateFile {
  readonly #directory: string;
  readonly #clock: Clock;
  #saving: Promise<void> = Promise.resolve();

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /**
   * The predecessor's state, or undefined where there is none.
   *
   * @throws VouchsafeError `ERR_AGENT_STATE` for a file that cannot be used.
   */
  async load(): Promise<LoadedState | undefined> {
    let text: string;
    try {
      text = await readFile(join(this.#directory, FILE_NAME), 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw unusable(error);
    }
    const envelope = parseEnvelope(text);
    // The monotonic clock counts from boot, so it tells the elapsed time whatever the wall clock did.
    const elapsedMs =
      envelope.bootId === (await bootId())
        ? this.#clock.monotonicMs() - envelope.savedAtMonotonicMs
        : this.#clock.now() - envelope.savedAtWallMs;
    return { state: envelope.state, elapsedMs: Math.max(0, elapsedMs) };
  }

  /** Saves, after any save under way. A reader sees the old state or the new one. */
  async save(state: SavedState): Promise<void> {
    // The state holds durations from now on: an earlier save that is slow must not make them count from later.
    const stamped = this.#stamped(state);
    const saved = this.#saving.then(() => this.#write(stamped));
    this.#saving = saved.catch(() => undefined);
    await saved;
  }

  /** Removes the state: what it names has been revoked. */
  async remove(): Promise<void> {
    await this.#saving;
    await rm(join(this.#directory, FILE_NAME), { force: true });
  }

  #stamped(state: SavedState): Omit<Envelope, 'bootId'> {
    return {
      version: VERSION,
      savedAtWallMs: this.#clock.now(),
      savedAtMonotonicMs: this.#clock.monotonicMs(),
      state,
    };
  }

  async #write(stamped: Omit<Envelope, 'bootId'>): Promise<void> {
    const envelope: Envelope = { ...stamped, bootId: await bootId() };
    const temporary = join(this.#directory, `.${FILE_NAME}.new`);
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await rm(temporary, { force: true });
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
    const file = await open(temporary, flags, 0o600);
    try {
      await file.writeFile(JSON.stringify(envelope));
    } finally {
      await file.close();
    }
    await chmod(temporary, 0o600);
    await rename(temporary, join(this.#directory, FILE_NAME));
  }
}

function parseEnvelope(text: string): Envelope {
  try {
    const parsed = JSON.parse(text) as Partial<Envelope> | null; // checked below as far as another version may differ
    const { version, state, savedAtMonotonicMs, savedAtWallMs } = parsed ?? {};
    const isComplete =
      Array.isArray(state?.values) && [savedAtMonotonicMs, savedAtWallMs].every(Number.isFinite);
    if (version === VERSION && isComplete) return parsed as Envelope; // this version writes nothing else
  } catch (error) {
    throw unusable(error);
  }
  throw unusable(undefined);
}

function unusable(cause: unknown): VouchsafeError {
  return new VouchsafeError(
    'ERR_AGENT_STATE',
    'the state of the predecessor cannot be read; starting afresh with a new login',
    { cause },
  );
}

/** Tells one boot of the machine from another; empty where the system has no such thing. */
async function bootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    return '';
  }
}
