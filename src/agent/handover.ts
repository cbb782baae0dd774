/**
 * Turns the living state into the saved one and back. Ring: agent.
 */
import { createHash } from 'node:crypto';
import { Secret, type Clock, type Dependency } from '../core/index.ts';
import type { AgentConfig } from '../config/index.ts';
import type { Held } from './obtain.ts';
import type { LoadedState, SavedState, SavedValue } from './state-file.ts';
import type { Plan } from './schedule.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Entry, Values } from './values.ts';

/** Fingerprint of everything that decides whose token it is. */
export function identityOf(config: AgentConfig): string {
  const { vault, auth, spiffe } = config;
  const parts = [vault?.address, vault?.namespace, auth, spiffe?.spiffeId, spiffe?.hint];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** What a successor needs: the token and what Vault issued for us; the rest is cheap to read again. */
export function saveState(
  config: AgentConfig,
  parts: { sessions: Sessions | undefined; values: Values; isDelivered: boolean; clock: Clock },
): SavedState {
  const nowMs = parts.clock.monotonicMs();
  const session = parts.sessions?.current;
  return {
    identity: identityOf(config),
    logins: parts.sessions?.count ?? 0,
    isDelivered: parts.isDelivered,
    session:
      session === undefined
        ? null
        : {
            token: session.token.reveal(),
            fullTtlMs: session.fullTtlMs,
            renewable: session.renewable,
            ageMs: nowMs - session.startedAtMs,
            ...savedPlan(session.plan, nowMs),
          },
    values: [...parts.values.entries].flatMap((entry) => savedValue(entry, session, nowMs)),
  };
}

/**
 * Takes over what a predecessor left, where it is still good: its token if it has life left, and the leases
 * that hang off that token. Returns whether the predecessor had delivered the files.
 */
export function resumeState(
  config: AgentConfig,
  loaded: LoadedState,
  parts: { sessions: Sessions | undefined; values: Values; clock: Clock },
): boolean {
  const { state, elapsedMs } = loaded;
  if (state.identity !== identityOf(config)) return false;
  const { session } = state;
  if (session === null || parts.sessions === undefined) return state.isDelivered;
  const nowMs = parts.clock.monotonicMs();
  const plan = resumedPlan(session, elapsedMs, nowMs);
  if (plan.expiresAtMs <= nowMs) return state.isDelivered;
  const { token, fullTtlMs, renewable, ageMs } = session;
  const startedAtMs = nowMs - ageMs - elapsedMs;
  const resumed = parts.sessions.resume(
    { token: new Secret(token), startedAtMs, fullTtlMs, renewable, plan },
    state.logins,
  );
  for (const saved of state.values) {
    const valuePlan = resumedPlan(saved, elapsedMs, nowMs);
    if (valuePlan.expiresAtMs <= nowMs) continue;
    const lease = saved.lease === null ? {} : { lease: { ...saved.lease, session: resumed.id } };
    parts.values.resume(saved.dependency, saved.refreshMs, {
      value: saved.value,
      plan: valuePlan,
      ...lease,
    });
  }
  return state.isDelivered;
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
