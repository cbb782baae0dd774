/**
 * What one process leaves to the next one of the same pod: init container to sidecar, or a container to
 * its restart. Ring: agent. The file holds the token and leased values: mode 0600, in a private in-memory volume,
 * which is why nobody waits for it.
 */
import * as fs from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  codeOf,
  VouchsafeError,
  type Clock,
  type Dependency,
  type ErrorDetails,
} from '../core/index.ts';

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

/** A saved value. Durations count from the moment of saving. */
export interface SavedValue {
  readonly dependency: Dependency;
  readonly refreshMs: number;
  readonly value: unknown;
  /** The value as JSON, instead: it is too long to be looked into. */
  readonly json?: string;
  readonly lease: { readonly id: string; readonly fullMs: number } | null;
  readonly action: 'renew' | 'fetch';
  readonly dueInMs: number | null;
  readonly expiresInMs: number | null;
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
    return { state: decodeState(envelope.state), elapsedMs: Math.max(0, elapsedMs) };
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

function parseEnvelope(text: string): Envelope<Partial<LiveState>> {
  try {
    const parsed = JSON.parse(text) as Partial<Envelope<Partial<LiveState>>> | null; // checked below, and by decodeState
    const { version = 0, state, savedAtMonotonicMs, savedAtWallMs } = parsed ?? {};
    const isComplete =
      Array.isArray(state?.values) && [savedAtMonotonicMs, savedAtWallMs].every(Number.isFinite);
    if (Math.abs(version - VERSION) <= 1 && isComplete) {
      return parsed as Envelope<Partial<LiveState>>; // as isComplete says
    }
  } catch (error) {
    throw unusable(error);
  }
  throw unusable(undefined);
}

/** What a state says that says nothing. */
const EMPTY: LiveState = {
  ...{ kind: 'live', identity: '', connection: '', logins: 0, isDelivered: false },
  ...{ isRevoked: false, told: {}, session: null, values: [], retired: [] },
};

/**
 * Fills in what the version before does not have, and leaves out what the one after has made of its fields. A token
 * that cannot be gone on with is left to be revoked.
 */
function decodeState(raw: Partial<SavedState>): SavedState {
  const state = { ...EMPTY, ...raw };
  const { kind, session } = state;
  const isUsable = session !== null && isSavedSession(session);
  const retired = [...state.retired.filter(isSavedRetired), ...(isUsable ? [] : salvaged(session))];
  if (kind === 'tombstone') {
    return { ...state, retired, kind, isRevoked: true, session: null, values: [] };
  }
  const values = state.values.filter(isSavedValue);
  return { ...state, retired, kind, session: isUsable ? session : null, values };
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

function isSavedValue(value: SavedValue): boolean {
  if (!isObject(value) || !isObject(value.dependency) || !isPlan(value)) return false;
  const { lease, refreshMs } = value;
  return isTime(refreshMs) && (lease === null || typeof lease.id === 'string');
}

function isSavedRetired(value: SavedRetired): boolean {
  return isObject(value) && typeof value.token === 'string' && Array.isArray(value.leases);
}

function isPlan({ action, dueInMs, expiresInMs }: SavedSession | SavedValue): boolean {
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
  return found?.size ?? 0;
}

/** Tells one boot of the machine from another; empty where the system has no such thing. */
function bootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
