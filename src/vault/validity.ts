/**
 * How long an answer is good.
 */
import type { Validity } from '../contracts/index.ts';
import { certificateLife } from '../core/index.ts';
import { X509Certificate } from 'node:crypto';
import { secondsAt, stringAt, type JsonObject } from './json.ts';

/** The parts of Vault's answer that speak of its life. */
export interface LeaseFacts {
  readonly leaseId: string;
  readonly leaseDurationMs: number;
  readonly renewable: boolean;
  readonly data: JsonObject;
}

/**
 * Classifies an answer. A lease counts only with an id: KV v1 sends a duration of 768 h without one, which
 * means nothing.
 *
 * @see https://developer.hashicorp.com/vault/docs/concepts/lease
 */
export function classifyValidity(facts: LeaseFacts, nowMs: number): Validity {
  const { leaseId, leaseDurationMs: durationMs, renewable, data } = facts;
  if (leaseId !== '') return { kind: 'lease', leaseId, durationMs, renewable };
  if (isRotated(data)) return { kind: 'rotation', ttlMs: secondsAt(data, 'ttl') };
  return pkiLife(data) ?? secretIdLife(data, nowMs) ?? { kind: 'static' };
}

/** Static roles tell when they rotate next; one with a schedule has no `rotation_period`. */
function isRotated(data: JsonObject): boolean {
  if (!('ttl' in data)) return false;
  return ['rotation_period', 'rotation_schedule', 'last_vault_rotation'].some(
    (name) => Boolean(data[name]) && data[name] !== '0',
  );
}

function pkiLife(data: JsonObject): Validity | undefined {
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
    // A DER or otherwise odd certificate is the user's to judge; its end is known without reading it.
    return undefined;
  }
}

function secretIdLife(data: JsonObject, nowMs: number): Validity | undefined {
  const ttlMs = secondsAt(data, 'secret_id_ttl');
  if (stringAt(data, 'secret_id') === '' || ttlMs === 0) return undefined;
  return { kind: 'expires', expiresAtMs: nowMs + ttlMs };
}
