/**
 * From a response of Vault to a value with its lease and its renewal plan.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Validity } from '../contracts/index.ts';
import { JsonText, type VaultDependency } from '../core/index.ts';
import type { VaultPort } from './ports.ts';
import type { PlanContext, RenewalPlan, ValueOrigin } from './renewal-plan.ts';
import { planValue } from './schedule.ts';
import type { Session } from './sessions.ts';

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
  /** Name of the login that it was issued by; absent for that of files which name none. */
  readonly login?: string;
  /** {@link Session.id} under which it was issued, among those of its login. */
  readonly session: number;
  /** The duration of the first grant. */
  readonly fullMs: number;
  /** When the value itself ends, which no renewal moves; monotonic milliseconds. Default: never. */
  readonly endsAtMs?: number;
}

/** The circumstances of a response. */
interface ObtainContext {
  /** The result of the last read. */
  readonly held: ObtainedValue | undefined;
  readonly session: Session;
  readonly now: PlanContext;
}

/** A response as a value with its plan. */
export function obtainedValue(
  dependency: VaultDependency,
  answer: Awaited<ReturnType<VaultPort['fetch']>>,
  { held, session, now }: ObtainContext,
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
  const lease = leaseOf(answer.validity, { session, login: dependency.login }, now);
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

/** An optional secret that does not exist; Vault is asked again at the refresh interval. */
export function absentValue(context: PlanContext): ObtainedValue {
  return { value: null, plan: planValue({ kind: 'static' }, context) };
}

/** An X.509-SVID, for which nothing is planned: the Workload API sends newer ones. */
export function x509Value(value: unknown): ObtainedValue {
  return { value, plan: { action: 'fetch', atMs: Infinity, expiresAtMs: Infinity } };
}

function leaseOf(
  validity: Validity,
  { session, login }: { readonly session: Session; readonly login: string | undefined },
  { monotonicMs, wallMs }: PlanContext,
): LeaseRef | undefined {
  const issuer = { session: session.id, ...(login !== undefined && { login }) };
  if (validity.kind === 'expires' && validity.isChild === true) {
    // The ID only tells it from others.
    const [id, fullMs] = [`token ${session.id} ${monotonicMs}`, validity.expiresAtMs - wallMs];
    return { id, ...issuer, fullMs, isToken: true };
  }
  if (validity.kind !== 'lease') return undefined;
  const { leaseId: id, durationMs: fullMs, endsAtMs } = validity;
  const lease = { id, ...issuer, fullMs };
  return endsAtMs === undefined ? lease : { ...lease, endsAtMs: monotonicMs + endsAtMs - wallMs };
}

function isMade(validity: Validity): boolean {
  return validity.kind === 'expires' && validity.isStored !== true;
}

/** How a value came to be. */
export function originOf({ kind }: VaultDependency, isRepeated = false): ValueOrigin {
  if (kind === 'pki') return 'repeated';
  if (kind === 'write') return isRepeated ? 'repeated' : 'made';
  return 'read';
}
