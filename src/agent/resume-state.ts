/**
 * From the saved state of a predecessor to a running agent.
 */
import { Secret } from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { StateParts } from './capture-state.ts';
import { connectionOf, identityOf } from './fingerprints.ts';
import type { FilesState } from './phase.ts';
import type { RenewalPlan } from './schedule.ts';
import type { ResumedSession, Session, Sessions } from './sessions.ts';
import type { SavedPlan, SavedRetired, SavedState } from './saved-state.ts';
import type { LoadedState } from './state-file.ts';
import type { Values } from './values.ts';

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
    // Of values without a lease only those are saved that a request made.
    if (saved.lease === null) values.resume(dependency, refreshMs, { value, plan, isMade: true });
    else if (session !== undefined) {
      const { endsInMs, ...known } = saved.lease;
      const end = endsInMs === undefined ? {} : { endsAtMs: nowMs + endsInMs - elapsedMs };
      const lease = { ...known, ...end, session: session.id };
      values.resume(dependency, refreshMs, { value, plan, lease });
    }
  }
}

/** The token of a live state whose identity differs from ours: it is only to be revoked. */
function retiredSession({ session, values, longValues }: SavedState): SavedRetired[] {
  if (session === null) return [];
  const { token, isBatch, expiresInMs } = session;
  const leases = isBatch
    ? [...values, ...longValues].flatMap(({ lease }) =>
        lease?.isToken === true ? [] : (lease?.id ?? []),
      )
    : [];
  return [{ token, isBatch, expiresInMs, leases }];
}

function filesOf({ isDelivered, isRevoked }: SavedState): FilesState {
  if (!isDelivered) return 'none';
  return isRevoked ? 'revoked' : 'good';
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
