/**
 * How long a value is valid.
 */
import type { Validity } from '../contracts/index.ts';
import { certificateLife } from '../core/index.ts';
import { X509Certificate } from 'node:crypto';
import { secondsAt, stringAt, type JsonObject } from './json.ts';

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
  const { leaseId, leaseDurationMs: durationMs, renewable, data } = facts;
  if (leaseId !== '') return { kind: 'lease', leaseId, durationMs, renewable };
  if (isStaticRole(data)) return { kind: 'rotation', ttlMs: secondsAt(data, 'ttl') };
  return certificateValidity(data) ?? secretIdValidity(data, nowMs) ?? { kind: 'static' };
}

/** Static roles report their next rotation; one with a schedule has no `rotation_period`. */
function isStaticRole(data: JsonObject): boolean {
  if (!('ttl' in data)) return false;
  return ['rotation_period', 'rotation_schedule', 'last_vault_rotation'].some(
    (name) => Boolean(data[name]) && data[name] !== '0',
  );
}

function certificateValidity(data: JsonObject): Validity | undefined {
  const pem = stringAt(data, 'certificate');
  const expiresAtMs = secondsAt(data, 'expiration');
  if (pem === '' || expiresAtMs === 0) return undefined;
  const notBeforeMs = notBefore(pem);
  if (notBeforeMs === undefined || notBeforeMs >= expiresAtMs)
    return { kind: 'expires', expiresAtMs };
  return { kind: 'expires', notBeforeMs, expiresAtMs };
}

function notBefore(pem: string): number | undefined {
  try {
    return certificateLife(new X509Certificate(pem)).fromMs;
  } catch {
    // DER, or unreadable. Only the expiry is needed, and Vault sends that separately.
    return undefined;
  }
}

function secretIdValidity(data: JsonObject, nowMs: number): Validity | undefined {
  const ttlMs = secondsAt(data, 'secret_id_ttl');
  if (stringAt(data, 'secret_id') === '' || ttlMs === 0) return undefined;
  return { kind: 'expires', expiresAtMs: nowMs + ttlMs };
}
