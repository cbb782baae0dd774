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
  isRecord,
  JsonText,
  VouchsafeError,
  type Clock,
  type Dependency,
  type ErrorDetails,
} from '../core/index.ts';
import { bytesOfValueFiles, named, ValueFiles, writePrivate } from './value-files.ts';

const FILE_NAME = 'state.json';

/**
 * Version 2 added the notified digests, and later optional fields that an older agent ignores. Of a state that is one
 * version older or newer, the known fields are read.
 */
const VERSION = 2;

/** A saved Vault token. Durations are from the time of saving. */
interface SavedSession {
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

/** The saved plan of a value. Durations are from the time of saving. */
export interface SavedPlan {
  readonly dependency: Dependency;
  readonly refreshMs: number;
  readonly lease: { readonly id: string; readonly fullMs: number } | null;
  readonly action: 'renew' | 'fetch';
  readonly dueInMs: number | null;
  readonly expiresInMs: number | null;
}

/** A saved value. */
export interface SavedValue extends SavedPlan {
  readonly value: unknown;
}

/** A value that is too long to be parsed, or to be written again with each change of another value. */
export interface SavedLongValue extends SavedPlan {
  /** The file holds its name instead. */
  readonly json: JsonText;
}

/** A token to revoke: no file needs it any more, or it may be revoked already. */
export interface SavedRetired {
  readonly token: string;
  readonly isBatch: boolean;
  /** null: never. */
  readonly expiresInMs: number | null;
  /** Ids of leases that outlive the token, such as those of a batch token. */
  readonly leases: readonly string[];
}

/** The fields of every state. */
export interface SavedTrace {
  /** Fingerprint of connection and login; a token is only used if it is the same. */
  readonly identity: string;
  /** Fingerprint of only the connection; a token can be revoked if it is the same. */
  readonly connection: string;
  readonly logins: number;
  /** Whether the files have been written at least once. */
  readonly isDelivered: boolean;
  /** Whether the credentials in the files may have been revoked: then no application may start with them. */
  readonly isRevoked: boolean;
  /** Path -> digest of each file in the last notification. */
  readonly told: Readonly<Record<string, string>>;
  readonly retired: readonly SavedRetired[];
}

/** The state of a running agent: its successor resumes the token and the issued values. */
export interface LiveState extends SavedTrace {
  readonly kind: 'live';
  readonly session: SavedSession | null;
  readonly values: readonly SavedValue[];
  readonly longValues: readonly SavedLongValue[];
}

/**
 * The state of an agent that stops: the notified digests, and nothing to resume. `retired` are the tokens that may not
 * be revoked yet; if it is empty, the state holds no credential. Older agents read it as a state without a token.
 */
export interface Tombstone extends SavedTrace {
  readonly kind: 'tombstone';
  readonly isRevoked: true;
  readonly session: null;
  readonly values: readonly [];
  readonly longValues: readonly [];
}

/** The state for a successor. */
export type SavedState = LiveState | Tombstone;

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
    const parsed = JSON.parse(text) as Partial<Envelope<RawState>> | null; // checked below, and by decodeState
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

/** A state as in the file: with the names of long values. */
type RawState = Partial<
  Omit<LiveState, 'kind' | 'longValues'> & {
    readonly kind: SavedState['kind'];
    readonly longValues: readonly (SavedPlan & { readonly json: unknown })[];
  }
>;

/** The defaults of missing fields. */
const EMPTY: Required<RawState> = {
  ...{ kind: 'live', identity: '', connection: '', logins: 0, isDelivered: false },
  ...{ isRevoked: false, told: {}, session: null, values: [], retired: [] },
  longValues: [],
};

/**
 * Adds fields that an older version does not have, and drops fields that a newer one has changed. A token that cannot
 * be resumed is kept for its revocation.
 */
function decodeState(raw: RawState, files: ValueFiles): SavedState {
  const { longValues: long, ...state } = { ...EMPTY, ...raw };
  const { kind, session } = state;
  const isUsable = session !== null && isSavedSession(session);
  const retired = [...state.retired.filter(isSavedRetired), ...(isUsable ? [] : salvaged(session))];
  if (kind === 'tombstone') {
    return { ...state, retired, kind, isRevoked: true, session: null, values: [], longValues: [] };
  }
  const values = state.values.filter(isSavedValue);
  const longValues = long.filter(isSavedValue).flatMap((saved) => {
    const json = files.read(saved.json);
    return json === undefined ? [] : [{ ...saved, json }];
  });
  return { ...state, retired, kind, session: isUsable ? session : null, values, longValues };
}

/** The token of a session in an unknown format. */
function salvaged(session: unknown): SavedRetired[] {
  const token: unknown = isRecord(session) ? session['token'] : undefined;
  if (typeof token !== 'string') return [];
  return [{ token, isBatch: false, expiresInMs: null, leases: [] }];
}

function isSavedSession(value: SavedSession): boolean {
  const { token, fullTtlMs, isBatch, renewable, ageMs } = value;
  const flags = [isBatch, renewable].every((flag) => typeof flag === 'boolean');
  return typeof token === 'string' && flags && isPlan(value) && isTime(fullTtlMs) && isTime(ageMs);
}

function isSavedValue(value: SavedPlan): boolean {
  if (!isRecord(value) || !isRecord(value.dependency) || !isPlan(value)) return false;
  const { lease, refreshMs } = value;
  return isTime(refreshMs) && (lease === null || typeof lease.id === 'string');
}

function isSavedRetired(value: SavedRetired): boolean {
  return isRecord(value) && typeof value.token === 'string' && Array.isArray(value.leases);
}

function isPlan({ action, dueInMs, expiresInMs }: SavedSession | SavedPlan): boolean {
  const areTimes = [dueInMs, expiresInMs].every((time) => time === null || isTime(time));
  return ['renew', 'fetch'].includes(action) && areTimes;
}

function isTime(value: unknown): boolean {
  return Number.isFinite(value);
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
