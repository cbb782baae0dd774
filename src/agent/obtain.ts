/**
 * Fetches or renews the value of one dependency, one try per call.
 */
import {
  type Clock,
  type Dependency,
  type Grants,
  hasCode,
  isAbsence,
  isOptional,
  isVaultDependency,
  type Random,
  type VaultDependency,
  VouchsafeError,
} from '../core/index.ts';
import { DEFAULTS } from '../config/schema/index.ts';
import { Semaphore } from '../async/index.ts';
import { checkGrant } from './check-grant.ts';
import type { IdentityPort, VaultPort } from './ports.ts';
import type { Login, Logins } from './logins.ts';
import {
  absentValue,
  obtainedValue,
  originOf,
  x509Value,
  type LeaseRef,
  type ObtainedValue,
} from './obtained-value.ts';
import { planJwtSvid, planLease, planValue } from './schedule.ts';
import type { Session, Sessions } from './sessions.ts';

/**
 * Concurrent requests, separately for each login to Vault and to the Workload API: if one hangs, the others are not
 * delayed.
 */
const MAX_PARALLEL = 8;

export { x509Value, type LeaseRef, type ObtainedValue } from './obtained-value.ts';

/** What the values of one login are requested with. */
type ObtainerLogin = Pick<Login, 'name' | 'sessions' | 'auth' | 'grants'> & {
  readonly vault: Pick<VaultPort, 'fetch' | 'renewLease'>;
};

export interface ObtainerParts {
  /** The audience of the first one is also used to learn the workload's SPIFFE ID. */
  readonly logins: Logins<ObtainerLogin>;
  readonly identity: IdentityPort | undefined;
  /** What may be requested of the Workload API, and without any login. Undefined: everything. */
  readonly grants: Grants | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** A dependency to read. */
interface FetchRequest {
  readonly dependency: Dependency;
  /** How often it is read if it has no lease. */
  readonly refreshMs: number;
  /** Whether a write is repeated at each refresh. Default: false. */
  readonly isRepeated?: boolean;
  /** The result of the last read. */
  readonly held: ObtainedValue | undefined;
}

type LeasedValue = ObtainedValue & { readonly lease: LeaseRef };

/** Reads and renews, one try per call. */
export interface Obtainer {
  fetch(wanted: FetchRequest, signal: AbortSignal): Promise<ObtainedValue>;
  /** Renews the lease of a held value; the value stays the same. */
  renew(held: LeasedValue, signal: AbortSignal): Promise<ObtainedValue>;
}

/** Creates an {@link Obtainer}. */
export function createObtainer(parts: ObtainerParts): Obtainer {
  const ofLogin = vaultPermits(parts.logins);
  const identityPermits = new Semaphore(MAX_PARALLEL);
  const context = (refreshMs: number) => ({
    monotonicMs: parts.clock.monotonicMs(),
    wallMs: parts.clock.now(),
    random: parts.random,
    refreshMs,
  });

  async function fromVault(
    dependency: VaultDependency,
    { refreshMs, isRepeated, held }: Omit<FetchRequest, 'dependency'>,
    signal: AbortSignal,
  ): Promise<ObtainedValue> {
    const login = loginFor(dependency.login, parts);
    const session = await login.sessions.ensure(signal);
    const answer = await answerOf(dependency, session, login, signal);
    const now = { ...context(refreshMs), origin: originOf(dependency, isRepeated) };
    if (answer === undefined) return absentValue(now);
    return obtainedValue(dependency, answer, { held, session, now });
  }

  async function fromIdentity(
    dependency: Exclude<Dependency, VaultDependency>,
    refreshMs: number,
    signal: AbortSignal,
  ): Promise<ObtainedValue> {
    const identity = identityOf(parts);
    switch (dependency.kind) {
      case 'jwt-svid': {
        const svid = await identity.jwtSvid(dependency.audiences, signal);
        return { value: svid.token.reveal(), plan: planJwtSvid(svid, context(refreshMs)) };
      }
      case 'spiffe-id': {
        const svid = await identity.jwtSvid([audienceOf(parts)], signal);
        return {
          value: svid.spiffeId.uri,
          plan: planValue({ kind: 'static' }, context(refreshMs)),
        };
      }
      case 'x509-svid':
        return x509Value(await identity.x509Svid(signal));
    }
  }

  async function renewed(held: LeasedValue, signal: AbortSignal): Promise<ObtainedValue> {
    const { vault, sessions } = loginFor(held.lease.login, parts);
    const session = await sessions.ensure(signal);
    if (session.id !== held.lease.session) {
      throw new VouchsafeError('ERR_VAULT_LEASE_GONE', 'the lease belongs to an older token');
    }
    const { id, fullMs, endsAtMs } = held.lease;
    const grant = await withSession(sessions, session, () =>
      vault.renewLease(session.token, id, undefined, signal),
    );
    const now = context(0);
    const endsInMs = endsAtMs === undefined ? undefined : endsAtMs - now.monotonicMs;
    return { ...held, plan: planLease({ ...grant, endsInMs }, fullMs, now) };
  }

  return {
    async fetch(wanted, signal) {
      const { dependency, refreshMs } = wanted;
      if (!isVaultDependency(dependency)) {
        checkGrant(parts.grants, dependency);
        return identityPermits.run(signal, () => fromIdentity(dependency, refreshMs, signal));
      }
      const login = parts.logins.get(dependency.login);
      checkGrant(login === undefined ? parts.grants : login.grants, dependency);
      return ofLogin(dependency.login, signal, () => fromVault(dependency, wanted, signal));
    },

    renew: (held, signal) => ofLogin(held.lease.login, signal, () => renewed(held, signal)),
  };
}

type RunForLogin = <T>(
  login: string | undefined,
  signal: AbortSignal,
  request: () => Promise<T>,
) => Promise<T>;

/** Runs requests to Vault within the permits of their login. */
function vaultPermits(logins: Logins<ObtainerLogin>): RunForLogin {
  const permits = new Map([...logins.keys()].map((name) => [name, new Semaphore(MAX_PARALLEL)]));
  return (login, signal, request) => {
    const own = permits.get(login);
    return own === undefined ? request() : own.run(signal, request); // without a login it only throws
  };
}

/** Vault's answer; undefined if the secret is optional and absent. */
async function answerOf(
  dependency: VaultDependency,
  session: Session,
  { vault, sessions, auth }: ObtainerLogin,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<VaultPort['fetch']>> | undefined> {
  try {
    return await withSession(sessions, session, () =>
      vault.fetch(session.token, dependency, signal),
    );
  } catch (error) {
    if (isOptional(dependency) && isAbsence(error)) return undefined;
    throw withRole(error, dependency.path, auth);
  }
}

/** A denial is solved at the role, so the error names it beside the path as it is in the pod. */
function withRole(error: unknown, path: string, auth: ObtainerLogin['auth']): unknown {
  if (!(error instanceof VouchsafeError) || error.code !== 'ERR_VAULT_DENIED') return error;
  const role = auth.role === undefined ? 'the default role' : `role ${auth.role}`;
  return new VouchsafeError(
    'ERR_VAULT_DENIED',
    `${path} is not for ${role} of auth/${auth.mount}: ${error.message}`,
    { cause: error, details: { ...error.details, path, role: auth.role ?? '', mount: auth.mount } },
  );
}

async function withSession<T>(
  sessions: Sessions,
  session: Session,
  operation: () => Promise<T>,
): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (hasCode(error, 'ERR_VAULT_TOKEN_INVALID')) sessions.invalidate(session);
    throw error;
  }
}

/** The audience of the usual login. */
function audienceOf({ logins }: ObtainerParts): string {
  return logins.get(undefined)?.auth.audience ?? DEFAULTS.AUDIENCE;
}

function loginFor(name: string | undefined, { logins }: ObtainerParts): ObtainerLogin {
  const login = logins.get(name);
  if (login !== undefined) return login;
  throw new VouchsafeError(
    'ERR_CONFIG_INVALID',
    'a file needs Vault, but vault.address is not set',
  );
}

function identityOf(parts: ObtainerParts): IdentityPort {
  if (parts.identity !== undefined) return parts.identity;
  throw new VouchsafeError(
    'ERR_CONFIG_INVALID',
    'a file needs an SVID, but spiffe.socket is not set',
  );
}
