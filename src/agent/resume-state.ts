/**
 * From the saved state of a predecessor to a running agent.
 */
import { loginOf, Secret } from '../core/index.ts';
import type { AgentConfig } from '../config/agent/index.ts';
import type { StateParts } from './capture-state.ts';
import { connectionOf, identityOf, type LoginTarget } from './fingerprints.ts';
import type { FilesState } from './phase.ts';
import type { RenewalPlan } from './schedule.ts';
import type { ResumedSession, Session, Sessions } from './sessions.ts';
import {
  savedLogins,
  type SavedLogin,
  type SavedPlan,
  type SavedRetired,
  type SavedState,
} from './saved-state.ts';
import type { LoadedState } from './state-file.ts';
import type { Values } from './values.ts';

/**
 * Takes over what is still valid of a predecessor's state: its tokens, the leases that belong to them, the values that
 * were issued without a lease, and the tokens that it could not revoke. Returns the state of the files.
 */
export function resumeState(
  config: AgentConfig,
  loaded: LoadedState,
  parts: StateParts,
): FilesState {
  const { state } = loaded;
  const nowMs = parts.clock.monotonicMs();
  for (const [path, digest] of Object.entries(state.told)) parts.notifiedDigests.set(path, digest);
  const places = placesOf(config, parts);
  const resumed = new Map<string | undefined, Session | undefined>();
  let isChanged = false;
  for (const [name, saved] of savedLogins(state)) {
    const own = places.find((place) => place.name === name && place.identity === saved.identity);
    if (own === undefined) {
      isChanged = true;
      // A token is sent only to the server that issued it.
      const other = places.find(({ connection }) => connection === saved.connection);
      const left = [...saved.retired, ...retiredSession(saved, leasesOf(state, name))];
      other?.sessions?.adopt(left.map((one) => resumedRetired(one, loaded.elapsedMs, nowMs)));
      continue;
    }
    const left = saved.retired.map((one) => resumedRetired(one, loaded.elapsedMs, nowMs));
    own.sessions?.adopt(left);
    resumed.set(name, resumedSession(saved, { ...own, elapsedMs: loaded.elapsedMs }, nowMs));
  }
  resumeValues(loaded, parts.values, resumed, nowMs);
  const files = filesOf(state);
  return isChanged && files === 'good' ? 'revoked' : files;
}

/** Where a saved token may belong to. */
interface Place {
  readonly name: string | undefined;
  readonly identity: string;
  readonly connection: string;
  readonly sessions: Sessions | undefined;
}

function placesOf(config: AgentConfig, { logins }: StateParts): readonly Place[] {
  const place = (name: string | undefined, target: LoginTarget): Place => ({
    name,
    identity: identityOf(config, target),
    connection: connectionOf(target),
    sessions: logins.get(name)?.sessions,
  });
  return [place(undefined, config), ...config.logins.map((login) => place(login.name, login))];
}

/** Values of logins that are not in `resumed` are not used: another identity read them. */
function resumeValues(
  { state, elapsedMs }: LoadedState,
  values: Values,
  resumed: ReadonlyMap<string | undefined, Session | undefined>,
  nowMs: number,
): void {
  for (const saved of [...state.values, ...state.longValues]) {
    const { dependency, refreshMs } = saved;
    const login = loginOf(dependency);
    const session = resumed.get(login);
    const value = 'json' in saved ? saved.json : saved.value;
    const plan = resumedPlan(saved, elapsedMs, nowMs);
    if (!resumed.has(login) || plan.expiresAtMs <= nowMs) continue;
    // Of values without a lease only those are saved that a request made.
    if (saved.lease === null) values.resume(dependency, refreshMs, { value, plan, isMade: true });
    else if (session !== undefined) {
      const { endsInMs, ...known } = saved.lease;
      const end = endsInMs === undefined ? {} : { endsAtMs: nowMs + endsInMs - elapsedMs };
      const issuer = { session: session.id, ...(login !== undefined && { login }) };
      values.resume(dependency, refreshMs, { value, plan, lease: { ...known, ...end, ...issuer } });
    }
  }
}

/** The leases of a login. */
function leasesOf(
  { values, longValues }: SavedState,
  login: string | undefined,
): readonly NonNullable<SavedPlan['lease']>[] {
  return [...values, ...longValues].flatMap(({ dependency, lease }) =>
    lease !== null && loginOf(dependency) === login ? lease : [],
  );
}

/** The token of a login whose identity differs from ours: it is only to be revoked. */
function retiredSession(
  { session }: SavedLogin,
  leases: readonly NonNullable<SavedPlan['lease']>[],
): SavedRetired[] {
  if (session === null) return [];
  const { token, isBatch, expiresInMs } = session;
  const beyond = leases.flatMap(({ id, isToken }) => (isBatch && isToken !== true ? id : []));
  return [{ token, isBatch, expiresInMs, leases: beyond }];
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
  { session: known, logins }: SavedLogin,
  { sessions, elapsedMs }: Pick<Place, 'sessions'> & Pick<LoadedState, 'elapsedMs'>,
  nowMs: number,
): Session | undefined {
  if (known === null) return undefined;
  const { token, fullTtlMs, isBatch, renewable, ageMs, ...saved } = known;
  const plan = resumedPlan(saved, elapsedMs, nowMs);
  if (plan.expiresAtMs <= nowMs) return undefined;
  const startedAtMs = nowMs - ageMs - elapsedMs;
  const life = { startedAtMs, fullTtlMs, isBatch, renewable, plan };
  const session = { token: new Secret(token), ...life };
  return sessions?.resume(session, logins);
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
