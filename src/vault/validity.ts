/**
 * How long a value is valid.
 */
import type { Validity } from '../contracts/index.ts';
import { secondsAt, type JsonObject } from './json.ts';
import { ownEnd, ownEnds } from './own-end.ts';

/** The parts of Vault's response that determine its validity. */
export interface LeaseFacts {
  readonly leaseId: string;
  readonly leaseDurationMs: number;
  readonly renewable: boolean;
  readonly data: JsonObject;
}

/**
 * Classifies a response. Only a lease with an ID is a lease: KV v1 sends a meaningless duration of 768 h
 * without one.
 *
 * @see https://developer.hashicorp.com/vault/docs/concepts/lease
 */
export function classifyValidity(facts: LeaseFacts, nowMs: number): Validity {
  const { leaseId, data } = facts;
  if (leaseId !== '') return leaseValidity(facts, nowMs);
  if (isStaticRole(data)) return { kind: 'rotation', ttlMs: secondsAt(data, 'ttl') };
  const end = ownEnd(data, nowMs);
  return end === undefined ? { kind: 'static' } : { kind: 'expires', ...end };
}

/** A duration beside a lease that is nearly the lease's is the same thing said twice. */
const SAME_SHARE = 0.95;

/** A lease; of the value's own end only what matters beside it, and nothing if the local clock contradicts Vault. */
function leaseValidity(facts: LeaseFacts, nowMs: number): Validity {
  const { leaseId, leaseDurationMs: durationMs, renewable, data } = facts;
  const lease = { kind: 'lease', leaseId, durationMs, renewable } as const;
  const { absolute, relative } = ownEnds(data, nowMs);
  const isOwn = relative !== undefined && relative.expiresAtMs < nowMs + durationMs * SAME_SHARE;
  const ends = [absolute, isOwn || durationMs === 0 ? relative : undefined].flatMap((end) =>
    end === undefined || end.expiresAtMs <= nowMs ? [] : [end.expiresAtMs],
  );
  if (ends.length === 0) return lease;
  const endsAtMs = Math.min(...ends);
  if (durationMs === 0) return { ...lease, durationMs: endsAtMs - nowMs, renewable: false };
  return renewable || endsAtMs < nowMs + durationMs ? { ...lease, endsAtMs } : lease;
}

/** Static roles report their next rotation; one with a schedule has no `rotation_period`. */
function isStaticRole(data: JsonObject): boolean {
  if (!('ttl' in data)) return false;
  return ['rotation_period', 'rotation_schedule', 'last_vault_rotation'].some(
    (name) => Boolean(data[name]) && data[name] !== '0',
  );
}
