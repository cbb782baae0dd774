/**
 * From a running agent to the state that it saves for a successor. Durations in it count from the time of the capture.
 */
import { JsonText, loginOf, type Clock } from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import { leasesBeyond } from './credential-revoker.ts';
import type { Entry } from './entry.ts';
import { connectionOf, identityOf, type LoginTarget } from './fingerprints.ts';
import type { LeaseRef } from './obtain.ts';
import type { FilesState } from './phase.ts';
import type { RenewalPlan } from './schedule.ts';
import type { Login, Logins } from './logins.ts';
import type { Session } from './sessions.ts';
import type {
  LiveState,
  SavedLogin,
  SavedLongValue,
  SavedPlan,
  SavedRetired,
  SavedTrace,
  SavedValue,
  Tombstone,
} from './saved-state.ts';
import { isIssued } from './value-sizes.ts';
import type { Values } from './values.ts';

/** The live objects that a state is captured from and resumed into. */
export interface StateParts {
  readonly logins: Logins<Pick<Login, 'name' | 'sessions'>>;
  readonly values: Values;
  /** Path -> digest of each file in the last notification. */
  readonly notifiedDigests: Map<string, string>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** The state for a successor: the token and the values that Vault issued. Other values are cheap to read again. */
export function captureState(
  config: AgentConfig,
  parts: StateParts & { readonly files: FilesState },
): LiveState {
  const nowMs = parts.clock.monotonicMs();
  const saved = [...parts.values.entries].flatMap((entry) => {
    const session = parts.logins.get(loginOf(entry.dependency))?.sessions.current;
    return savedValue(entry, session, nowMs);
  });
  return {
    kind: 'live',
    ...traceOf(config, parts, savedLogin),
    isRevoked: parts.files === 'revoked',
    values: saved.filter((one) => 'value' in one),
    longValues: saved.filter((one) => 'json' in one),
  };
}

/** The state of an agent that revokes: the notified files, and the tokens that are not revoked yet. */
export function captureTombstone(
  config: AgentConfig,
  parts: StateParts & { readonly files: FilesState },
): Tombstone {
  return {
    kind: 'tombstone',
    ...traceOf(config, parts, endedLogin),
    isRevoked: true,
    session: null,
    values: [],
    longValues: [],
  };
}

/** The fields of every state; `capture` takes what is known of one login. */
function traceOf(
  config: AgentConfig,
  parts: StateParts & { readonly files: FilesState },
  capture: typeof savedLogin,
): Omit<SavedTrace, 'isRevoked'> {
  const loginState = (target: LoginTarget, name: string | undefined): SavedLogin => ({
    identity: identityOf(config, target),
    connection: connectionOf(target),
    ...capture(parts.logins.get(name), parts),
  });
  const others = config.logins.map((login) => [login.name, loginState(login, login.name)] as const);
  return {
    ...loginState(config, undefined),
    isDelivered: parts.files !== 'none',
    told: Object.fromEntries(parts.notifiedDigests),
    ...(others.length > 0 && { others: Object.fromEntries(others) }),
  };
}

type LoginState = Pick<SavedLogin, 'logins' | 'session' | 'retired'>;

/** A login that a successor goes on with. */
function savedLogin(
  login: Pick<Login, 'name' | 'sessions'> | undefined,
  { values, clock }: StateParts,
): LoginState {
  if (login === undefined) return { logins: 0, session: null, retired: [] };
  const nowMs = clock.monotonicMs();
  const { current, retired, count } = login.sessions;
  return {
    logins: count,
    session: current === undefined ? null : savedSession(current, nowMs),
    retired: retired.map((one) => savedRetired(one, { login: login.name, values }, nowMs)),
  };
}

/** A login whose tokens are only to be revoked. */
function endedLogin(
  login: Pick<Login, 'name' | 'sessions'> | undefined,
  parts: StateParts,
): LoginState {
  const nowMs = parts.clock.monotonicMs();
  const { logins, retired } = savedLogin(login, parts);
  const current = login?.sessions.current;
  if (login === undefined || current === undefined || current.plan.expiresAtMs <= nowMs) {
    return { logins, session: null, retired };
  }
  const own = savedRetired(current, { login: login.name, values: parts.values }, nowMs);
  return { logins, session: null, retired: [own, ...retired] };
}

function savedSession(session: Session, nowMs: number): NonNullable<SavedLogin['session']> {
  return {
    token: session.token.reveal(),
    fullTtlMs: session.fullTtlMs,
    isBatch: session.isBatch,
    renewable: session.renewable,
    ageMs: nowMs - session.startedAtMs,
    ...savedPlan(session.plan, nowMs),
  };
}

function savedRetired(
  session: Session,
  of: { readonly login: string | undefined; readonly values: Values },
  nowMs: number,
): SavedRetired {
  const expiresInMs = relative(session.plan.expiresAtMs, nowMs);
  const { token, isBatch } = session;
  return {
    token: token.reveal(),
    isBatch,
    expiresInMs,
    leases: leasesBeyond(session, of),
  };
}

function savedValue(
  entry: Entry,
  session: Session | undefined,
  nowMs: number,
): readonly (SavedValue | SavedLongValue)[] {
  const { held, dependency, refreshMs } = entry;
  if (held === undefined || !isIssued(dependency, held)) return [];
  if (held.lease !== undefined && held.lease.session !== session?.id) return [];
  const lease = held.lease === undefined ? null : savedLease(held.lease, nowMs);
  const plan = { dependency, refreshMs, lease, ...savedPlan(held.plan, nowMs) };
  const { value } = held;
  const content = value instanceof JsonText ? value.parseIfShort() : value;
  const isLong = content === undefined && value instanceof JsonText;
  return [isLong ? { ...plan, json: value } : { ...plan, value: content }];
}

function savedLease(
  { id, fullMs, endsAtMs, isToken }: LeaseRef,
  nowMs: number,
): NonNullable<SavedPlan['lease']> {
  return {
    id,
    fullMs,
    ...(endsAtMs !== undefined && { endsInMs: endsAtMs - nowMs }),
    ...(isToken && { isToken }),
  };
}

function savedPlan(
  plan: RenewalPlan,
  nowMs: number,
): Pick<SavedPlan, 'action' | 'dueInMs' | 'expiresInMs'> {
  const { action, atMs, expiresAtMs } = plan;
  return { action, dueInMs: relative(atMs, nowMs), expiresInMs: relative(expiresAtMs, nowMs) };
}

function relative(atMs: number, nowMs: number): number | null {
  return Number.isFinite(atMs) ? atMs - nowMs : null;
}
