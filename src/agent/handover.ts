/**
 * Turns the living state into the saved one and back. Ring: agent.
 */
import { createHash } from 'node:crypto';
import {
  Secret,
  toVouchsafeError,
  type Clock,
  type Dependency,
  type Logger,
} from '../core/index.ts';
import type { AgentConfig } from '../config/index.ts';
import type { Entry } from './entry.ts';
import type { Held } from './obtain.ts';
import type { StateFile, LoadedState, SavedState, SavedValue } from './state-file.ts';
import type { Plan } from './schedule.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Values } from './values.ts';

/** What {@link Handover} works with. */
export interface HandoverParts {
  /** Undefined keeps nothing for a successor. */
  readonly stateFile: StateFile | undefined;
  readonly sessions: Sessions | undefined;
  readonly values: Values;
  /** Path -> digest of each file as the application was last told of it. */
  readonly told: Map<string, string>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Fingerprint of everything that decides whose token it is. */
export function identityOf(config: AgentConfig): string {
  const { vault, auth, spiffe } = config;
  const parts = [vault?.address, vault?.namespace, auth, spiffe?.spiffeId, spiffe?.hint];
  return digestOf(parts);
}

function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}

/** Durations from here are moments, which stay as they are while nothing changes. */
const STANDING = { monotonicMs: () => 0 };

/**
 * What a predecessor left: `delivered` files, `nothing` of which the files are known, or a state that is there and
 * `unreadable` at the moment.
 */
export type Resumed = 'delivered' | 'nothing' | 'unreadable';

/** Hands the state of one process on to the next one of the same pod. */
export class Handover {
  readonly #config: AgentConfig;
  readonly #parts: HandoverParts;
  /** Digest of what was saved last. */
  #saved = '';

  constructor(config: AgentConfig, parts: HandoverParts) {
    this.#config = config;
    this.#parts = parts;
  }

  /** Goes on from what a predecessor left. Never throws. */
  resume(): Resumed {
    const { stateFile, sessions, logger } = this.#parts;
    try {
      const loaded = stateFile?.load();
      if (loaded === undefined) return 'nothing';
      const isDelivered = resumeState(this.#config, loaded, this.#parts);
      const hasToken = sessions?.current !== undefined;
      logger.info('found a predecessor', { files: isDelivered, token: hasToken });
      return isDelivered ? 'delivered' : 'nothing';
    } catch (caught) {
      const error = toVouchsafeError(caught);
      logger.warn('state of a predecessor was not used', { error });
      return 'errno' in error.details ? 'unreadable' : 'nothing';
    }
  }

  /** Saves the state of the moment, unless nothing but time has changed since the last. Never throws. */
  save(isDelivered: boolean): void {
    const { stateFile, logger } = this.#parts;
    if (stateFile === undefined) return;
    const parts = { ...this.#parts, isDelivered };
    const digest = digestOf(saveState(this.#config, { ...parts, clock: STANDING }));
    if (digest === this.#saved) return;
    try {
      stateFile.save(saveState(this.#config, parts));
      this.#saved = digest;
    } catch (error) {
      // Without it a restart costs a login and new credentials; the files themselves are not in danger.
      logger.warn('state was not saved', { error });
    }
  }

  /** Removes the state: what it names has been revoked. Never throws. */
  end(): void {
    try {
      this.#parts.stateFile?.remove();
    } catch (error) {
      this.#parts.logger.warn('state was not removed', { error });
    }
  }
}

/** What a successor needs: the token and what Vault issued for us; the rest is cheap to read again. */
export function saveState(
  config: AgentConfig,
  parts: Omit<HandoverParts, 'stateFile' | 'logger' | 'clock'> & {
    readonly isDelivered: boolean;
    readonly clock: Pick<Clock, 'monotonicMs'>;
  },
): SavedState {
  const nowMs = parts.clock.monotonicMs();
  const session = parts.sessions?.current;
  return {
    identity: identityOf(config),
    logins: parts.sessions?.count ?? 0,
    isDelivered: parts.isDelivered,
    told: Object.fromEntries(parts.told),
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
    values: [...parts.values.entries].flatMap((entry) => savedValue(entry, session, nowMs)),
  };
}

/**
 * Takes over what a predecessor left, where it is still good: its token if it has life left, the leases that
 * hang off that token, and what was issued without a lease. Returns whether the predecessor had delivered the
 * files.
 */
export function resumeState(
  config: AgentConfig,
  loaded: LoadedState,
  parts: Omit<HandoverParts, 'stateFile' | 'logger'>,
): boolean {
  const { state, elapsedMs } = loaded;
  if (state.identity !== identityOf(config)) return false;
  for (const [path, digest] of Object.entries(state.told)) parts.told.set(path, digest);
  const nowMs = parts.clock.monotonicMs();
  const session = resumedSession(loaded, parts.sessions, nowMs);
  for (const { dependency, refreshMs, value, ...saved } of state.values) {
    const plan = resumedPlan(saved, elapsedMs, nowMs);
    if (plan.expiresAtMs <= nowMs) continue;
    if (saved.lease === null) parts.values.resume(dependency, refreshMs, { value, plan });
    else if (session !== undefined) {
      const lease = { ...saved.lease, session: session.id };
      parts.values.resume(dependency, refreshMs, { value, plan, lease });
    }
  }
  return state.isDelivered;
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

function savedValue(entry: Entry, session: Session | undefined, nowMs: number): SavedValue[] {
  const { held, dependency, refreshMs } = entry;
  if (held === undefined || !isIssued(dependency, held)) return [];
  if (held.lease !== undefined && held.lease.session !== session?.id) return [];
  const lease = held.lease === undefined ? null : { id: held.lease.id, fullMs: held.lease.fullMs };
  return [{ dependency, refreshMs, value: held.value, lease, ...savedPlan(held.plan, nowMs) }];
}

/** True for what each request makes anew: credentials, certificates, answers to writes. */
function isIssued(dependency: Dependency, held: Held): boolean {
  return held.lease !== undefined || dependency.kind === 'write' || dependency.kind === 'pki';
}

function savedPlan(
  plan: Plan,
  nowMs: number,
): { action: Plan['action']; dueInMs: number | null; expiresInMs: number | null } {
  const { action, atMs, expiresAtMs } = plan;
  return { action, dueInMs: relative(atMs, nowMs), expiresInMs: relative(expiresAtMs, nowMs) };
}

function resumedPlan(
  saved: { action: Plan['action']; dueInMs: number | null; expiresInMs: number | null },
  elapsedMs: number,
  nowMs: number,
): Plan {
  const { action, dueInMs, expiresInMs } = saved;
  return {
    action,
    atMs: dueInMs === null ? Infinity : nowMs + dueInMs - elapsedMs,
    expiresAtMs: expiresInMs === null ? Infinity : nowMs + expiresInMs - elapsedMs,
  };
}

function relative(atMs: number, nowMs: number): number | null {
  return Number.isFinite(atMs) ? atMs - nowMs : null;
}
