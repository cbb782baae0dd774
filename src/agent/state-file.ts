/**
 * What one process leaves to the next one of the same pod: init container to sidecar, or a container to
 * its restart. Ring: agent. The file holds the token and leased values: mode 0600, in a private in-memory volume,
 * which is why nobody waits for it.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import {
  codeOf,
  VouchsafeError,
  type Clock,
  type Dependency,
  type ErrorDetails,
} from '../core/index.ts';

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

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /**
   * The predecessor's state, or undefined where there is none.
   *
   * @throws VouchsafeError `ERR_AGENT_STATE` for a file that cannot be used; with detail `errno` where the system does
   * not let it be read, which may pass.
   */
  load(): LoadedState | undefined {
    let text: string;
    try {
      text = fs.readFileSync(join(this.#directory, FILE_NAME), 'utf8');
    } catch (error) {
      const errno = codeOf(error) ?? '';
      if (errno === 'ENOENT') return undefined;
      throw unusable(error, { errno });
    }
    const envelope = parseEnvelope(text);
    // The monotonic clock counts from boot, so it tells the elapsed time whatever the wall clock did.
    const elapsedMs =
      envelope.bootId === bootId()
        ? this.#clock.monotonicMs() - envelope.savedAtMonotonicMs
        : this.#clock.now() - envelope.savedAtWallMs;
    return { state: envelope.state, elapsedMs: Math.max(0, elapsedMs) };
  }

  /** Saves. A reader sees the old state or the new one. */
  save(state: SavedState): void {
    const envelope: Envelope = {
      version: VERSION,
      bootId: bootId(),
      savedAtWallMs: this.#clock.now(),
      savedAtMonotonicMs: this.#clock.monotonicMs(),
      state,
    };
    const temporary = join(this.#directory, `.${FILE_NAME}.new`);
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    fs.rmSync(temporary, { force: true });
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants;
    const file = fs.openSync(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
    try {
      fs.writeFileSync(file, JSON.stringify(envelope));
      fs.fchmodSync(file, 0o600);
    } finally {
      fs.closeSync(file);
    }
    fs.renameSync(temporary, join(this.#directory, FILE_NAME));
  }

  /** Removes the state: what it names has been revoked. */
  remove(): void {
    fs.rmSync(join(this.#directory, FILE_NAME), { force: true });
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

function unusable(cause: unknown, details: ErrorDetails = {}): VouchsafeError {
  return new VouchsafeError(
    'ERR_AGENT_STATE',
    'the state of the predecessor cannot be read; starting afresh with a new login',
    { cause, details },
  );
}

/** Tells one boot of the machine from another; empty where the system has no such thing. */
function bootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
