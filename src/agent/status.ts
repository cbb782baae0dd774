/**
 * The status of the agent for people and probes. It holds no secrets.
 */
import {
  dependencyLabel,
  type Clock,
  type Gauge,
  type ErrorCode,
  type Metrics,
  type VouchsafeError,
} from '../core/index.ts';
import type { DeliveredFile } from './delivered-set.ts';
import type { EnvContainers } from './env-containers.ts';
import { isAbsent } from './entry-state.ts';
import type { ObtainedValue } from './obtain.ts';
import type { AgentPhase } from './phase.ts';
import type { Login, Logins } from './logins.ts';
import type { Values } from './values.ts';

/** A failure, as shown in the status. */
export interface StatusError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** `GET /status` from inside the pod. */
export interface AgentStatus {
  readonly phase: AgentPhase;
  /** The number of logins in this pod, by all sessions. */
  readonly logins: number;
  /** The token of the first session. */
  readonly token: { readonly expires_in_seconds: number | null } | null;
  /** One for each login of the files, that of files which name none first. */
  readonly sessions: readonly {
    /** The label in metrics, which hold no names; from 1. */
    readonly number: number;
    /** Null for the login of files that name none. */
    readonly login: string | null;
    readonly logins: number;
    readonly token: { readonly expires_in_seconds: number | null } | null;
    /** Why the last login failed, until one succeeds. */
    readonly error: StatusError | null;
  }[];
  readonly files: readonly {
    readonly name: string;
    readonly path: string;
    /** `absent`: there is no file, because its secret is optional and absent. */
    readonly state: 'written' | 'absent';
    /** Since the values in the file were last confirmed. */
    readonly age_seconds: number;
    readonly changed_seconds_ago: number;
  }[];
  readonly secrets: readonly {
    /** The label in metrics, which hold no paths; from 1. */
    readonly number: number;
    readonly secret: string;
    /** `absent`: the secret is optional and does not exist. `pending`: nothing is known yet. */
    readonly state: 'pending' | 'held' | 'absent';
    readonly lease: boolean;
    readonly expires_in_seconds: number | null;
    readonly next: 'renew' | 'fetch';
    readonly next_in_seconds: number | null;
    readonly error: StatusError | null;
  }[];
  /** The environment variables of other containers; null if there are none. */
  readonly env: {
    /** When the variables were last changed, in seconds since 1970: the version in `VOUCHSAFE_ENV_VERSION`. */
    readonly version: number | null;
    readonly containers: readonly {
      readonly name: string;
      /** The version that the container runs with; null if the agent cannot see it. */
      readonly version: number | null;
    }[];
  } | null;
  /** All current failures. */
  readonly errors: readonly StatusError[];
}

/** The sources of a status. */
export interface StatusParts {
  readonly phase: AgentPhase;
  readonly logins: Logins<Pick<Login, 'name' | 'sessions'>>;
  readonly values: Values;
  readonly files: readonly DeliveredFile[];
  readonly envContainers: Pick<EnvContainers, 'version' | 'containers'> | undefined;
  readonly errors: readonly VouchsafeError[];
  readonly clock: Clock;
}

/** Creates the status of an agent. */
export function agentStatus(parts: StatusParts): AgentStatus {
  const { clock, logins } = parts;
  const nowMs = clock.monotonicMs();
  const sessions = [...logins.values()].map((login, index) => sessionStatus(login, index, nowMs));
  const since = (atMs: number): number => seconds(nowMs - atMs);
  return {
    phase: parts.phase,
    logins: sessions.reduce((sum, { logins: own }) => sum + own, 0),
    token: sessions[0]?.token ?? null,
    sessions,
    files: parts.files.map(({ name, path, exists, knownGoodAtMs, changedAtMs }) => ({
      name,
      path,
      state: exists ? 'written' : 'absent',
      age_seconds: since(knownGoodAtMs),
      changed_seconds_ago: since(changedAtMs),
    })),
    secrets: [...parts.values.entries].map(({ number, dependency, held, atMs, error }) => ({
      number,
      secret: dependencyLabel(dependency),
      state: stateOf(held),
      lease: held?.lease !== undefined && held.lease.isToken !== true,
      expires_in_seconds: until(held?.plan.expiresAtMs ?? Infinity, nowMs),
      next: held?.plan.action ?? 'fetch',
      next_in_seconds: until(atMs, nowMs),
      error: error === undefined ? null : statusError(error),
    })),
    env: envStatus(parts.envContainers),
    errors: parts.errors.map(statusError),
  };
}

function sessionStatus(
  { name, sessions }: Pick<Login, 'name' | 'sessions'>,
  index: number,
  nowMs: number,
): AgentStatus['sessions'][number] {
  const { current, count, lastError } = sessions;
  return {
    number: index + 1,
    login: name ?? null,
    logins: count,
    token: current ? { expires_in_seconds: until(current.plan.expiresAtMs, nowMs) } : null,
    error: lastError === undefined ? null : statusError(lastError),
  };
}

function envStatus(found: StatusParts['envContainers']): AgentStatus['env'] {
  if (found === undefined) return null;
  const containers = found.containers.map(({ name, version = null }) => ({ name, version }));
  return { version: found.version ?? null, containers };
}

function stateOf(held: ObtainedValue | undefined): AgentStatus['secrets'][number]['state'] {
  if (held === undefined) return 'pending';
  return isAbsent(held) ? 'absent' : 'held';
}

/** Creates the function that updates the gauges from a status; call it at each scrape. */
export function createStatusRecorder(metrics: Metrics): (status: AgentStatus) => void {
  const age = metrics.gauge(
    'vouchsafe_file_age_seconds',
    'Seconds since the values in the file were last confirmed.',
    ['file'],
  );
  const expiry = metrics.gauge(
    'vouchsafe_secret_expires_in_seconds',
    'Seconds until a secret expires, by its number in `/status`.',
    ['secret'],
  );
  const failing = metrics.gauge(
    'vouchsafe_secret_failing',
    '1 if the last read or renewal of a secret failed, by its number in `/status`.',
    ['secret'],
  );
  const absent = metrics.gauge(
    'vouchsafe_secret_absent',
    '1 if an optional secret does not exist, by its number in `/status`.',
    ['secret'],
  );
  const session = metrics.gauge(
    'vouchsafe_session_failing',
    '1 if the last login of a session failed, by its number in `/status`.',
    ['session'],
  );
  const recordEnv = createEnvRecorder(metrics);
  const ready = metrics.gauge('vouchsafe_ready', '1 when the newest values are in the files.');
  let known: AgentStatus['secrets'] = [];
  let files: AgentStatus['files'] = [];
  return (status) => {
    for (const { number } of known) {
      expiry.remove({ secret: String(number) });
      failing.remove({ secret: String(number) });
      absent.remove({ secret: String(number) });
    }
    known = status.secrets;
    for (const { number, state, expires_in_seconds, error } of status.secrets) {
      const secret = String(number);
      if (expires_in_seconds !== null) expiry.set(expires_in_seconds, { secret });
      failing.set(error === null ? 0 : 1, { secret });
      absent.set(state === 'absent' ? 1 : 0, { secret });
    }
    for (const { name } of files) age.remove({ file: name });
    files = status.files;
    for (const file of files) age.set(file.age_seconds, { file: file.name });
    recordSessions(session, status);
    recordEnv(status.env);
    ready.set(status.phase === 'ready' ? 1 : 0);
  };
}

function recordSessions(gauge: Gauge, { sessions }: AgentStatus): void {
  for (const { number, error } of sessions) {
    gauge.set(error === null ? 0 : 1, { session: String(number) });
  }
}

/** Creates the function that updates the gauges about variables. */
function createEnvRecorder(metrics: Metrics): (env: AgentStatus['env']) => void {
  const newest = metrics.gauge(
    'vouchsafe_env_version',
    'Version of the environment variables: when they were last changed, in seconds since 1970.',
  );
  const running = metrics.gauge(
    'vouchsafe_env_container_version',
    'Version of the environment variables that a container runs with.',
    ['container'],
  );
  return (env) => {
    const version = env?.version ?? null;
    if (version !== null) newest.set(version);
    for (const { name, version } of env?.containers ?? []) {
      if (version === null) running.remove({ container: name });
      else running.set(version, { container: name });
    }
  };
}

function statusError(error: VouchsafeError): StatusError {
  return { code: error.code, message: error.message };
}

function until(atMs: number, nowMs: number): number | null {
  return Number.isFinite(atMs) ? seconds(atMs - nowMs) : null;
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}
