/**
 * Fetches or renews the value of one dependency, one try per call.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Validity } from '../contracts/index.ts';
import {
  type Clock,
  type Dependency,
  type Grants,
  hasCode,
  isAbsence,
  isOptional,
  isVaultDependency,
  JsonText,
  type Random,
  type VaultDependency,
  VouchsafeError,
} from '../core/index.ts';
import type { AuthConfig } from '../config/agent/index.ts';
import { DEFAULTS } from '../config/schema/index.ts';
import { Semaphore } from '../async/index.ts';
import { checkGrant } from './check-grant.ts';
import type { IdentityPort, VaultPort } from './ports.ts';
import type { PlanContext, RenewalPlan, ValueOrigin } from './renewal-plan.ts';
import { planJwtSvid, planLease, planValue } from './schedule.ts';
import type { Session, Sessions } from './sessions.ts';

/** Concurrent requests, separately to Vault and to the Workload API: if one hangs, the other is not delayed. */
const MAX_PARALLEL = 8;

/** A value with its lease and renewal plan. Times are of the monotonic clock. */
export interface ObtainedValue {
  /** Null for an optional secret that is absent. */
  readonly value: unknown;
  /** Present where Vault issued a lease. */
  readonly lease?: LeaseRef;
  /** Present if a read made the value, as that of a token does. */
  readonly isMade?: true;
  readonly plan: RenewalPlan;
}

/** A lease and the session it belongs to; or a token that the token of the session has made, which ends with that as well. */
export interface LeaseRef {
  readonly id: string;
  /** Present if it is a token, which has no lease that could be revoked. */
  readonly isToken?: true;
  /** {@link Session.id} under which it was issued. */
  readonly session: number;
  /** The duration of the first grant. */
  readonly fullMs: number;
  /** When the value itself ends, which no renewal moves; monotonic milliseconds. Default: never. */
  readonly endsAtMs?: number;
}

export interface ObtainerParts {
  readonly sessions: Sessions | undefined;
  readonly vault: Pick<VaultPort, 'fetch' | 'renewLease'> | undefined;
  readonly identity: IdentityPort | undefined;
  /** Undefined without Vault. Its audience is also used to learn the workload's SPIFFE ID. */
  readonly auth: AuthConfig | undefined;
  /** What may be read. Undefined: everything. */
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

/** Reads and renews, one try per call. */
export interface Obtainer {
  fetch(wanted: FetchRequest, signal: AbortSignal): Promise<ObtainedValue>;
  /** Renews the lease of a held value; the value stays the same. */
  renew(
    held: ObtainedValue & { readonly lease: LeaseRef },
    signal: AbortSignal,
  ): Promise<ObtainedValue>;
}

/** Creates an {@link Obtainer}. */
export function createObtainer(parts: ObtainerParts): Obtainer {
  const vaultPermits = new Semaphore(MAX_PARALLEL);
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
    const session = await vaultOf(parts).sessions.ensure(signal);
    const answer = await answerOf(dependency, session, parts, signal);
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
        const svid = await identity.jwtSvid([parts.auth?.audience ?? DEFAULTS.AUDIENCE], signal);
        return {
          value: svid.spiffeId.uri,
          plan: planValue({ kind: 'static' }, context(refreshMs)),
        };
      }
      case 'x509-svid':
        return x509Value(await identity.x509Svid(signal));
    }
  }

  async function renewed(
    held: ObtainedValue & { readonly lease: LeaseRef },
    signal: AbortSignal,
  ): Promise<ObtainedValue> {
    const { vault, sessions } = vaultOf(parts);
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
      checkGrant(parts.grants, dependency);
      return isVaultDependency(dependency)
        ? vaultPermits.run(signal, () => fromVault(dependency, wanted, signal))
        : identityPermits.run(signal, () => fromIdentity(dependency, refreshMs, signal));
    },

    renew: (held, signal) => vaultPermits.run(signal, () => renewed(held, signal)),
  };
}

/** A response as a value with its plan. */
function obtainedValue(
  dependency: VaultDependency,
  answer: Awaited<ReturnType<VaultPort['fetch']>>,
  { held, session, now }: Pick<FetchRequest, 'held'> & { session: Session; now: PlanContext },
): ObtainedValue {
  const value = dependency.kind === 'list' ? namesIn(answer.data) : answer.data;
  const known = { ...now, previous: held?.plan };
  if (answer.validity.kind === 'rotation') {
    const isUnchanged = differsOnlyByTtl(answer, held?.value);
    // A TTL that counts down is not a change: files that show it stay as they are until the rotation.
    const plan = planValue(answer.validity, { ...known, isUnchanged });
    return { value: isUnchanged ? held?.value : value, plan };
  }
  const plan = planValue(answer.validity, known);
  const lease = leaseOf(answer.validity, session, now);
  if (lease !== undefined) return { value, plan, lease };
  return isMade(answer.validity) ? { value, plan, isMade: true } : { value, plan };
}

function namesIn(data: Readonly<Record<string, unknown>> | JsonText): unknown {
  return data instanceof JsonText ? data : (data['keys'] ?? []);
}

/** True if a value was not rotated since the last read. */
function differsOnlyByTtl({ data }: { readonly data: unknown }, held: unknown): boolean {
  const [known, now] = [plain(held), plain(data)];
  if (known === undefined || now === undefined) return false;
  return isDeepStrictEqual({ ...known, ttl: now['ttl'] }, now);
}

/** The members of a value; undefined if it has none or is too long to compare. */
function plain(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const known = value instanceof JsonText ? value.parseIfShort() : value;
  return typeof known === 'object' && known !== null ? { ...known } : undefined;
}

/** Vault's answer; undefined if the secret is optional and absent. */
async function answerOf(
  dependency: VaultDependency,
  session: Session,
  parts: ObtainerParts,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<VaultPort['fetch']>> | undefined> {
  const { vault, sessions } = vaultOf(parts);
  try {
    return await withSession(sessions, session, () =>
      vault.fetch(session.token, dependency, signal),
    );
  } catch (error) {
    if (isOptional(dependency) && isAbsence(error)) return undefined;
    throw withLogin(error, dependency.path, parts.auth);
  }
}

/** An optional secret that does not exist; Vault is asked again at the refresh interval. */
function absentValue(context: PlanContext): ObtainedValue {
  return { value: null, plan: planValue({ kind: 'static' }, context) };
}

/** An X.509-SVID, for which nothing is planned: the Workload API sends newer ones. */
export function x509Value(value: unknown): ObtainedValue {
  return { value, plan: { action: 'fetch', atMs: Infinity, expiresAtMs: Infinity } };
}

/** A denial is solved at the role, so the error names it beside the path as it is in the pod. */
function withLogin(error: unknown, path: string, auth: AuthConfig | undefined): unknown {
  if (!(error instanceof VouchsafeError) || error.code !== 'ERR_VAULT_DENIED') return error;
  if (auth === undefined) return error;
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

function leaseOf(
  validity: Validity,
  session: Session,
  { monotonicMs, wallMs }: PlanContext,
): LeaseRef | undefined {
  if (validity.kind === 'expires' && validity.isChild === true) {
    // The ID only tells it from others.
    const [id, fullMs] = [`token ${session.id} ${monotonicMs}`, validity.expiresAtMs - wallMs];
    return { id, session: session.id, fullMs, isToken: true };
  }
  if (validity.kind !== 'lease') return undefined;
  const { leaseId: id, durationMs: fullMs, endsAtMs } = validity;
  const lease = { id, session: session.id, fullMs };
  return endsAtMs === undefined ? lease : { ...lease, endsAtMs: monotonicMs + endsAtMs - wallMs };
}

function isMade(validity: Validity): boolean {
  return validity.kind === 'expires' && validity.isStored !== true;
}

function originOf({ kind }: VaultDependency, isRepeated = false): ValueOrigin {
  if (kind === 'pki') return 'repeated';
  if (kind === 'write') return isRepeated ? 'repeated' : 'made';
  return 'read';
}

function vaultOf(parts: ObtainerParts): {
  vault: Pick<VaultPort, 'fetch' | 'renewLease'>;
  sessions: Sessions;
} {
  const { vault, sessions } = parts;
  if (vault !== undefined && sessions !== undefined) return { vault, sessions };
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
