/**
 * What one process leaves to the next one of the same pod: init container to sidecar, or a container to
 * its restart. The file holds the token and leased values: mode 0600, in a private in-memory volume,
 * which is why nobody waits for it.
 */
import * as fs from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  codeOf,
  JsonText,
  VouchsafeError,
  type Clock,
  type Dependency,
  type ErrorDetails,
} from '../core/index.ts';
import { bytesOfValueFiles, named, ValueFiles, writePrivate } from './value-files.ts';

const FILE_NAME = 'state.json';

/**
 * Version 2 knows what the application was told; fields have been added to it since, which an older agent overlooks.
 * A state of the version before or after is read as far as it is known.
 */
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

/** What is saved of a value beside itself. Durations count from the moment of saving. */
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

/** A value that is too long to be looked into, or to be written again with every change of another one. */
export interface SavedLongValue extends SavedPlan {
  /** In the file its name stands here. */
  readonly json: JsonText;
}

/** A token that nothing in the files needs any more, or that may have been revoked already: to be revoked. */
export interface SavedRetired {
  readonly token: string;
  readonly isBatch: boolean;
  /** null: never. */
  readonly expiresInMs: number | null;
  /** Ids of leases that the end of the token does not end with it, as those of a batch token. */
  readonly leases: readonly string[];
}

/** What every state tells. */
export interface SavedTrace {
  /** Fingerprint of connection and login: of another one no token is used. */
  readonly identity: string;
  /** Fingerprint of the connection alone: what it issued can be revoked there, whoever logged in. */
  readonly connection: string;
  readonly logins: number;
  /** Whether the files have been written at least once. */
  readonly isDelivered: boolean;
  /** Whether what is in the files has been revoked, or may have been: no application may start with them. */
  readonly isRevoked: boolean;
  /** Digest of each file, by its path, as the application was last told of it. */
  readonly told: Readonly<Record<string, string>>;
  readonly retired: readonly SavedRetired[];
}

/** Of an agent that was at work: its successor goes on with the token and with what was issued. */
export interface LiveState extends SavedTrace {
  readonly kind: 'live';
  readonly session: SavedSession | null;
  readonly values: readonly SavedValue[];
  readonly longValues: readonly SavedLongValue[];
}

/**
 * Of an agent that was told to stop: what the application knows, and nothing to go on with. `retired` is what has
 * not been revoked yet, or of which that is not known; an empty one holds no credential. Version 2 of before reads it
 * as a state whose token is lost.
 */
export interface Tombstone extends SavedTrace {
  readonly kind: 'tombstone';
  readonly isRevoked: true;
  readonly session: null;
  readonly values: readonly [];
  readonly longValues: readonly [];
}

/** What a process leaves to its successor. */
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

/** Keeps the state in one directory. */
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
   * The predecessor's state, or undefined where there is none.
   *
   * @throws VouchsafeError `ERR_AGENT_STATE` for a file that cannot be used; with detail `errno` where the system does
   * not let it be read, which may pass.
   */
  load(): LoadedState | undefined {
    const text = this.#reading(() => this.#text());
    if (text === undefined) return undefined;
    const envelope = parseEnvelope(text);
    const state = this.#reading(() => decodeState(envelope.state, this.#valueFiles));
    // The monotonic clock counts from boot, so it tells the elapsed time whatever the wall clock did.
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

  /** Saves. A reader sees the old state or the new one. */
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

  /** Removes the state: what it names has been revoked. */
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

/** A state as it lies in the file: with the names of long values. */
type RawState = Partial<
  Omit<LiveState, 'kind' | 'longValues'> & {
    readonly kind: SavedState['kind'];
    readonly longValues: readonly (SavedPlan & { readonly json: unknown })[];
  }
>;

/** What a state says that says nothing. */
const EMPTY: Required<RawState> = {
  ...{ kind: 'live', identity: '', connection: '', logins: 0, isDelivered: false },
  ...{ isRevoked: false, told: {}, session: null, values: [], retired: [] },
  longValues: [],
};

/**
 * Fills in what the version before does not have, and leaves out what the one after has made of its fields. A token
 * that cannot be gone on with is left to be revoked.
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

/** The token of a session that is unlike ours. */
function salvaged(session: unknown): SavedRetired[] {
  const token: unknown = isObject(session) ? session['token'] : undefined;
  if (typeof token !== 'string') return [];
  return [{ token, isBatch: false, expiresInMs: null, leases: [] }];
}

function isSavedSession(value: SavedSession): boolean {
  const { token, fullTtlMs, isBatch, renewable, ageMs } = value;
  const flags = [isBatch, renewable].every((flag) => typeof flag === 'boolean');
  return typeof token === 'string' && flags && isPlan(value) && isTime(fullTtlMs) && isTime(ageMs);
}

function isSavedValue(value: SavedPlan): boolean {
  if (!isObject(value) || !isObject(value.dependency) || !isPlan(value)) return false;
  const { lease, refreshMs } = value;
  return isTime(refreshMs) && (lease === null || typeof lease.id === 'string');
}

function isSavedRetired(value: SavedRetired): boolean {
  return isObject(value) && typeof value.token === 'string' && Array.isArray(value.leases);
}

function isPlan({ action, dueInMs, expiresInMs }: SavedSession | SavedPlan): boolean {
  const areTimes = [dueInMs, expiresInMs].every((time) => time === null || isTime(time));
  return ['renew', 'fetch'].includes(action) && areTimes;
}

function isTime(value: unknown): boolean {
  return Number.isFinite(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function unusable(cause: unknown, details: ErrorDetails = {}): VouchsafeError {
  return new VouchsafeError(
    'ERR_AGENT_STATE',
    'the state of the predecessor cannot be read; starting afresh with a new login',
    { cause, details },
  );
}

/** How many bytes the state in a directory has; 0 where there is none. */
export async function savedBytes(directory: string): Promise<number> {
  const found = await stat(join(directory, FILE_NAME)).catch(() => undefined);
  return (found?.size ?? 0) + (await bytesOfValueFiles(directory));
}

/** Tells one boot of the machine from another; empty where the system has no such thing. */
function bootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
