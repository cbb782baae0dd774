/**
 * Saves the state of a running agent for a successor, and restores it.
 */
import { createHash } from 'node:crypto';
import { JsonText, Secret, toVouchsafeError, type Clock, type Logger } from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { Entry } from './entry.ts';
import { leasesBeyond } from './credential-revoker.ts';
import type {
  LiveState,
  LoadedState,
  SavedLongValue,
  SavedPlan,
  SavedRetired,
  SavedState,
  SavedTrace,
  SavedValue,
  StateFile,
  Tombstone,
} from './state-file.ts';
import type { RenewalPlan } from './schedule.ts';
import type { ResumedSession, Session, Sessions } from './sessions.ts';
import { named } from './value-files.ts';
import { isIssued } from './value-sizes.ts';
import type { Values } from './values.ts';

export interface HandoverParts {
  /** Undefined: nothing is saved. */
  readonly stateFile: StateFile | undefined;
  readonly sessions: Sessions | undefined;
  readonly values: Values;
  /** Path -> digest of each file in the last notification. */
  readonly notifiedDigests: Map<string, string>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Fingerprint of the settings that determine the identity behind a token. */
export function identityOf(config: AgentConfig): string {
  const { vault, auth, spiffe } = config;
  const parts = [vault?.address, vault?.namespace, auth, spiffe?.spiffeId, spiffe?.hint];
  return digestOf(parts);
}

/** Fingerprint of the Vault server where a token can be revoked. */
function connectionOf({ vault }: AgentConfig): string {
  return digestOf([vault?.address, vault?.namespace]);
}

/** Long values are represented by their names, which are equal only for the same value. */
function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value, named)).digest('hex');
}

/** Serializes absolute times, so that the digest ignores the passage of time. */
const ZERO_CLOCK = { monotonicMs: () => 0 };

/**
 * The files of this pod: `none` written yet; `good`; or with `revoked` credentials, so that no application may start
 * with them and the next files need a notification.
 */
export type FilesState = 'none' | 'good' | 'revoked';

/** The files that a predecessor left; `unreadable`: its state exists and cannot be read at the moment. */
export type Resumed = FilesState | 'unreadable';

/** Passes the state of one process to the next one of the same pod. */
export class Handover {
  readonly #config: AgentConfig;
  readonly #parts: HandoverParts;
  /** Digest of the last saved state. */
  #saved = '';
  #isFailing = false;

  constructor(config: AgentConfig, parts: HandoverParts) {
    this.#config = config;
    this.#parts = parts;
  }

  /** Resumes from the state of a predecessor. Never throws. */
  resume(): Resumed {
    const { stateFile, sessions, logger } = this.#parts;
    try {
      const loaded = stateFile?.load();
      if (loaded === undefined) return 'none';
      const files = resumeState(this.#config, loaded, this.#parts);
      const hasToken = sessions?.current !== undefined;
      logger.info('found a predecessor', { files, token: hasToken });
      return files;
    } catch (caught) {
      const error = toVouchsafeError(caught);
      logger.warn('state of a predecessor was not used', { error });
      return 'errno' in error.details ? 'unreadable' : 'none';
    }
  }

  /** Saves the current state unless only time has passed since the last save. Never throws. */
  save(files: FilesState): void {
    if (this.#parts.stateFile === undefined) return;
    const digest = digestOf(saveState(this.#config, { ...this.#parts, files, clock: ZERO_CLOCK }));
    if (digest === this.#saved) return;
    if (this.#write(() => saveState(this.#config, { ...this.#parts, files }))) this.#saved = digest;
  }

  /**
   * Saves a tombstone, before and after the revocation: if the process ends in between, a successor neither uses a
   * token that may be revoked nor forgets one that may still be valid. Never throws.
   */
  saveTombstone(files: FilesState): void {
    this.#saved = '';
    const tombstone = (): Tombstone => buriedState(this.#config, { ...this.#parts, files });
    const { isDelivered, retired } = tombstone();
    if (!isDelivered && retired.length === 0) {
      this.deleteState();
    } else if (!this.#write(tombstone)) {
      // There may be no room beside the previous state, which must not stay in any case.
      this.deleteState();
      this.#write(tombstone);
    }
  }

  /** Deletes the state, so that a successor starts afresh. Never throws. */
  deleteState(): void {
    try {
      this.#parts.stateFile?.remove();
    } catch (error) {
      this.#parts.logger.warn('state was not removed', { error });
    }
  }

  #write(state: () => SavedState): boolean {
    const { stateFile, logger } = this.#parts;
    try {
      stateFile?.save(state());
      if (this.#isFailing) logger.info('state is saved again');
      this.#isFailing = false;
      return true;
    } catch (error) {
      // Then a restart needs a login and new credentials; the files are not affected.
      if (!this.#isFailing) logger.warn('state was not saved', { error });
      this.#isFailing = true;
      return false;
    }
  }
}

type StateParts = Pick<HandoverParts, 'sessions' | 'values' | 'notifiedDigests'> & {
  readonly clock: Pick<Clock, 'monotonicMs'>;
};

/** The state for a successor: the token and the values that Vault issued. Other values are cheap to read again. */
export function saveState(
  config: AgentConfig,
  parts: StateParts & { readonly files: FilesState },
): LiveState {
  const nowMs = parts.clock.monotonicMs();
  const session = parts.sessions?.current;
  const saved = [...parts.values.entries].flatMap((entry) => savedValue(entry, session, nowMs));
  return {
    kind: 'live',
    ...traceOf(config, parts),
    isRevoked: parts.files === 'revoked',
    session:
      session === undefined
        ? null
        : {
            token: session.token.reveal(),
            fullTtlMs: session.fullTtlMs,
            isBatch: session.isBatch,
            renewable: session.renewable,
            ageMs: nowMs - session.startedAtMs,
            ...savedPlan(session.plan, nowMs),
          },
    values: saved.filter((one) => 'value' in one),
    longValues: saved.filter((one) => 'json' in one),
    retired: (parts.sessions?.retired ?? []).map((one) => savedRetired(one, parts.values, nowMs)),
  };
}

/** The state of an agent that revokes: the notified files, and the tokens that are not revoked yet. */
function buriedState(
  config: AgentConfig,
  parts: StateParts & { readonly files: FilesState },
): Tombstone {
  const nowMs = parts.clock.monotonicMs();
  const { current, retired = [] } = parts.sessions ?? {};
  const isOver = current === undefined || current.plan.expiresAtMs <= nowMs;
  const left = isOver ? retired : [current, ...retired];
  return {
    kind: 'tombstone',
    ...traceOf(config, parts),
    isRevoked: true,
    retired: left.map((session) => savedRetired(session, parts.values, nowMs)),
    session: null,
    values: [],
    longValues: [],
  };
}

function traceOf(
  config: AgentConfig,
  { sessions, notifiedDigests, files }: StateParts & { readonly files: FilesState },
): Omit<SavedTrace, 'isRevoked' | 'retired'> {
  return {
    identity: identityOf(config),
    connection: connectionOf(config),
    logins: sessions?.count ?? 0,
    isDelivered: files !== 'none',
    told: Object.fromEntries(notifiedDigests),
  };
}

/**
 * Takes over what is still valid of a predecessor's state: its token, the leases that belong to it, the values that
 * were issued without a lease, and the tokens that it could not revoke. Returns the state of the files.
 */
export function resumeState(
  config: AgentConfig,
  loaded: LoadedState,
  parts: StateParts,
): FilesState {
  const { state, elapsedMs } = loaded;
  const { sessions, values, notifiedDigests } = parts;
  const nowMs = parts.clock.monotonicMs();
  for (const [path, digest] of Object.entries(state.told)) notifiedDigests.set(path, digest);
  const isOwn = state.identity === identityOf(config);
  // A token is sent only to the server that issued it.
  if (isOwn || state.connection === connectionOf(config)) {
    const left = isOwn ? state.retired : [...state.retired, ...retiredSession(state)];
    sessions?.adopt(left.map((one) => resumedRetired(one, elapsedMs, nowMs)));
  }
  const files = filesOf(state);
  if (!isOwn) return files === 'none' ? 'none' : 'revoked';
  resumeValues(loaded, values, resumedSession(loaded, sessions, nowMs), nowMs);
  return files;
}

function resumeValues(
  { state, elapsedMs }: LoadedState,
  values: Values,
  session: Session | undefined,
  nowMs: number,
): void {
  for (const saved of [...state.values, ...state.longValues]) {
    const { dependency, refreshMs } = saved;
    const value = 'json' in saved ? saved.json : saved.value;
    const plan = resumedPlan(saved, elapsedMs, nowMs);
    if (plan.expiresAtMs <= nowMs) continue;
    if (saved.lease === null) values.resume(dependency, refreshMs, { value, plan });
    else if (session !== undefined) {
      const lease = { ...saved.lease, session: session.id };
      values.resume(dependency, refreshMs, { value, plan, lease });
    }
  }
}

/** The token of a live state whose identity differs from ours: it is only to be revoked. */
function retiredSession({ session, values, longValues }: SavedState): SavedRetired[] {
  if (session === null) return [];
  const { token, isBatch, expiresInMs } = session;
  const leases = isBatch ? [...values, ...longValues].flatMap(({ lease }) => lease?.id ?? []) : [];
  return [{ token, isBatch, expiresInMs, leases }];
}

function filesOf({ isDelivered, isRevoked }: SavedState): FilesState {
  if (!isDelivered) return 'none';
  return isRevoked ? 'revoked' : 'good';
}

function savedRetired(session: Session, values: Values, nowMs: number): SavedRetired {
  const expiresInMs = relative(session.plan.expiresAtMs, nowMs);
  const { token, isBatch } = session;
  return {
    ...{ token: token.reveal(), isBatch, expiresInMs },
    leases: leasesBeyond(session, { values }),
  };
}

function resumedRetired(
  { token, isBatch, leases, ...saved }: SavedRetired,
  elapsedMs: number,
  nowMs: number,
): ResumedSession {
  return {
    token: new Secret(token),
    startedAtMs: nowMs,
    fullTtlMs: 0,
    isBatch,
    orphans: leases,
    renewable: false,
    plan: { action: 'fetch', atMs: Infinity, expiresAtMs: endOf(saved, elapsedMs, nowMs) },
  };
}

function resumedSession(
  { state, elapsedMs }: LoadedState,
  sessions: Sessions | undefined,
  nowMs: number,
): Session | undefined {
  if (state.session === null) return undefined;
  const { token, fullTtlMs, isBatch, renewable, ageMs, ...saved } = state.session;
  const plan = resumedPlan(saved, elapsedMs, nowMs);
  if (plan.expiresAtMs <= nowMs) return undefined;
  const startedAtMs = nowMs - ageMs - elapsedMs;
  const life = { startedAtMs, fullTtlMs, isBatch, renewable, plan };
  const session = { token: new Secret(token), ...life };
  return sessions?.resume(session, state.logins);
}

function savedValue(
  entry: Entry,
  session: Session | undefined,
  nowMs: number,
): readonly (SavedValue | SavedLongValue)[] {
  const { held, dependency, refreshMs } = entry;
  if (held === undefined || !isIssued(dependency, held)) return [];
  if (held.lease !== undefined && held.lease.session !== session?.id) return [];
  const lease = held.lease === undefined ? null : { id: held.lease.id, fullMs: held.lease.fullMs };
  const plan = { dependency, refreshMs, lease, ...savedPlan(held.plan, nowMs) };
  const { value } = held;
  const content = value instanceof JsonText ? value.parseIfShort() : value;
  const isLong = content === undefined && value instanceof JsonText;
  return [isLong ? { ...plan, json: value } : { ...plan, value: content }];
}

function savedPlan(
  plan: RenewalPlan,
  nowMs: number,
): Pick<SavedPlan, 'action' | 'dueInMs' | 'expiresInMs'> {
  const { action, atMs, expiresAtMs } = plan;
  return { action, dueInMs: relative(atMs, nowMs), expiresInMs: relative(expiresAtMs, nowMs) };
}

function resumedPlan(
  saved: Pick<SavedPlan, 'action' | 'dueInMs' | 'expiresInMs'>,
  elapsedMs: number,
  nowMs: number,
): RenewalPlan {
  const { action, dueInMs, expiresInMs } = saved;
  return {
    action,
    atMs: dueInMs === null ? Infinity : nowMs + dueInMs - elapsedMs,
    expiresAtMs: endOf({ expiresInMs }, elapsedMs, nowMs),
  };
}

function endOf(
  { expiresInMs }: { readonly expiresInMs: number | null },
  elapsedMs: number,
  nowMs: number,
): number {
  return expiresInMs === null ? Infinity : nowMs + expiresInMs - elapsedMs;
}

function relative(atMs: number, nowMs: number): number | null {
  return Number.isFinite(atMs) ? atMs - nowMs : null;
}
