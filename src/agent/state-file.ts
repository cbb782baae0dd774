/**
 * The state that one process saves for the next one of the same pod: the init container for the sidecar, or a container
 * for its restart. The file holds the token and leased values: mode 0600, in a private in-memory volume, so it is
 * written synchronously.
 */
import * as fs from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  codeOf,
  parseExactJson,
  VouchsafeError,
  type Clock,
  type ErrorDetails,
} from '../core/index.ts';
import { decodeState, type RawState, type SavedState } from './saved-state.ts';
import { bytesOfValueFiles, named, ValueFiles, writePrivate } from './value-files.ts';

const FILE_NAME = 'state.json';

/**
 * Version 2 added the notified digests, and later optional fields that an older agent ignores. Of a state that is one
 * version older or newer, the known fields are read.
 */
const VERSION = 2;

interface Envelope<State> {
  readonly version: number;
  readonly bootId: string;
  readonly savedAtWallMs: number;
  readonly savedAtMonotonicMs: number;
  readonly state: State;
}

/** A state and how long ago it was saved. */
export interface LoadedState {
  readonly state: SavedState;
  readonly elapsedMs: number;
}

/** The state in one directory. */
export class StateFile {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #valueFiles: ValueFiles;

  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#valueFiles = new ValueFiles(directory);
    this.#clock = clock;
  }

  /**
   * The predecessor's state; undefined if there is none.
   *
   * @throws VouchsafeError `ERR_AGENT_STATE` for a file that cannot be used; with detail `errno` if the system cannot
   * read it, which may be temporary.
   */
  load(): LoadedState | undefined {
    const text = this.#reading(() => this.#text());
    if (text === undefined) return undefined;
    const envelope = parseEnvelope(text);
    const state = this.#reading(() => decodeState(envelope.state, this.#valueFiles));
    // The monotonic clock starts at boot, so within one boot it measures the elapsed time despite wall clock jumps.
    const elapsedMs =
      envelope.bootId === bootId()
        ? this.#clock.monotonicMs() - envelope.savedAtMonotonicMs
        : this.#clock.now() - envelope.savedAtWallMs;
    return { state, elapsedMs: Math.max(0, elapsedMs) };
  }

  #text(): string | undefined {
    try {
      return fs.readFileSync(join(this.#directory, FILE_NAME), 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      const errno = codeOf(error);
      throw unusable(error, errno === undefined ? {} : { errno });
    }
  }

  /** Saves atomically: a reader sees either the old state or the new one. */
  save(state: SavedState): void {
    const envelope: Envelope<SavedState> = {
      version: VERSION,
      bootId: bootId(),
      savedAtWallMs: this.#clock.now(),
      savedAtMonotonicMs: this.#clock.monotonicMs(),
      state,
    };
    const temporary = join(this.#directory, `.${FILE_NAME}.new`);
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    fs.rmSync(temporary, { force: true });
    const long = state.longValues.map(({ json }) => json);
    this.#valueFiles.write(long);
    writePrivate(temporary, JSON.stringify(envelope, named));
    fs.renameSync(temporary, join(this.#directory, FILE_NAME));
    this.#valueFiles.keepOnly(long);
  }

  /** Deletes the state. */
  remove(): void {
    fs.rmSync(join(this.#directory, FILE_NAME), { force: true });
    this.#valueFiles.keepOnly([]);
  }
}

function parseEnvelope(text: string): Envelope<RawState> {
  try {
    const parsed = parseExactJson(text) as Partial<Envelope<RawState>> | null; // checked below, and by decodeState
    const { version = 0, state, savedAtMonotonicMs, savedAtWallMs } = parsed ?? {};
    const isComplete =
      Array.isArray(state?.values) && [savedAtMonotonicMs, savedAtWallMs].every(Number.isFinite);
    if (Math.abs(version - VERSION) <= 1 && isComplete) {
      return parsed as Envelope<RawState>; // as isComplete says
    }
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

/** The size of the state in a directory, in bytes; 0 if there is none. */
export async function savedBytes(directory: string): Promise<number> {
  const found = await stat(join(directory, FILE_NAME)).catch(() => undefined);
  return (found?.size ?? 0) + (await bytesOfValueFiles(directory));
}

/** Identifies the boot of the machine; empty if the system does not support it. */
function bootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
