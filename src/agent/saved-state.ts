/**
 * The state that an agent saves for its successor, as data, and how the states of other versions are read.
 */
import { isRecord, type Dependency, type JsonText } from '../core/index.ts';
import type { ValueFiles } from './value-files.ts';

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
  readonly lease: {
    readonly id: string;
    readonly fullMs: number;
    /** Until the value itself ends. Absent: never. */
    readonly endsInMs?: number;
    readonly isToken?: true;
  } | null;
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

/** What is saved of one login. */
export interface SavedLogin {
  /** Fingerprint of connection and login; a token is only used if it is the same. */
  readonly identity: string;
  /** Fingerprint of only the connection; a token can be revoked if it is the same. */
  readonly connection: string;
  readonly logins: number;
  readonly session: SavedSession | null;
  readonly retired: readonly SavedRetired[];
}

/** The fields of every state. Those of {@link SavedLogin} are of the login of files that name none. */
export interface SavedTrace extends SavedLogin {
  /** Whether the files have been written at least once. */
  readonly isDelivered: boolean;
  /** Whether the credentials in the files may have been revoked: then no application may start with them. */
  readonly isRevoked: boolean;
  /** Path -> digest of each file in the last notification. */
  readonly told: Readonly<Record<string, string>>;
  /** The other logins, by name. Absent: none. */
  readonly others?: Readonly<Record<string, SavedLogin>>;
}

/** The state of a running agent: its successor resumes the token and the issued values. */
export interface LiveState extends SavedTrace {
  readonly kind: 'live';
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

/** A state as in the file: with the names of long values. */
export type RawState = Partial<
  Omit<LiveState, 'kind' | 'longValues'> & {
    readonly kind: SavedState['kind'];
    readonly longValues: readonly (SavedPlan & { readonly json: unknown })[];
  }
>;

/** The defaults of missing fields of a login. */
const NO_LOGIN: SavedLogin = {
  identity: '',
  connection: '',
  logins: 0,
  session: null,
  retired: [],
};

/** The defaults of missing fields. */
const EMPTY: Required<RawState> = {
  ...NO_LOGIN,
  kind: 'live',
  isDelivered: false,
  isRevoked: false,
  told: {},
  values: [],
  longValues: [],
  others: {},
};

/**
 * Adds fields that an older version does not have, and drops fields that a newer one has changed. A token that cannot
 * be resumed is kept for its revocation.
 */
export function decodeState(raw: RawState, files: Pick<ValueFiles, 'read'>): SavedState {
  const { longValues: long, ...given } = { ...EMPTY, ...raw };
  const { kind } = given;
  const others = Object.fromEntries(
    Object.entries(given.others).map(([name, login]) => [name, decodeLogin(login)]),
  );
  const state = { ...given, ...decodeLogin(given), others };
  if (kind === 'tombstone') {
    return { ...state, kind, isRevoked: true, session: null, values: [], longValues: [] };
  }
  const values = state.values.filter(isSavedValue);
  const longValues = long.filter(isSavedValue).flatMap((saved) => {
    const json = files.read(saved.json);
    return json === undefined ? [] : [{ ...saved, json }];
  });
  return { ...state, kind, values, longValues };
}

/** A token of an unknown format is kept for its revocation. */
function decodeLogin(raw: Partial<SavedLogin>): SavedLogin {
  const { identity, connection, logins, session, retired } = { ...NO_LOGIN, ...raw };
  const isUsable = session !== null && isSavedSession(session);
  return {
    identity,
    connection,
    logins,
    session: isUsable ? session : null,
    retired: [...retired.filter(isSavedRetired), ...(isUsable ? [] : salvaged(session))],
  };
}

/** Every login of a state by its name; undefined is that of files which name none. */
export function savedLogins(
  state: SavedState,
): readonly (readonly [name: string | undefined, login: SavedLogin])[] {
  return [[undefined, state], ...Object.entries(state.others ?? {})];
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
