/**
 * From a running agent to the state that it saves for a successor. Durations in it count from the time of the capture.
 */
import { JsonText, type Clock } from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import { leasesBeyond } from './credential-revoker.ts';
import type { Entry } from './entry.ts';
import { connectionOf, identityOf } from './fingerprints.ts';
import type { LeaseRef } from './obtain.ts';
import type { FilesState } from './phase.ts';
import type { RenewalPlan } from './schedule.ts';
import type { Session, Sessions } from './sessions.ts';
import type {
  LiveState,
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
  readonly sessions: Sessions | undefined;
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
export function captureTombstone(
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

function savedRetired(session: Session, values: Values, nowMs: number): SavedRetired {
  const expiresInMs = relative(session.plan.expiresAtMs, nowMs);
  const { token, isBatch } = session;
  return {
    token: token.reveal(),
    isBatch,
    expiresInMs,
    leases: leasesBeyond(session, { values }),
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
