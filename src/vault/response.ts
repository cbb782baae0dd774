/**
 * Parses Vault's response to a read, list or write: the value and how long it is valid. Independent of the
 * client, so that a separate process can do it.
 */
import { isRecord } from '../core/index.ts';
import type { Validity } from '../contracts/index.ts';
import { objectAt, parseJson, secondsAt, stringAt, stringsAt } from './json.ts';
import type { JsonObject } from './json.ts';
import { printable } from './printable.ts';
import { classifyValidity } from './validity.ts';
import { isVersioned } from './versioned.ts';

/** What the response must look like. */
export interface ResponseShape {
  /** Kind of the mount that it comes from, as far as known. */
  readonly mount: 'kv1' | 'kv2' | 'other' | 'unknown';
  /** Whether it must be a version of KV v2. */
  readonly isVersion: boolean;
  /** Whether it must be a list of names. */
  readonly isList: boolean;
}

/** A value, or why the response is malformed: `is not a JSON object`. */
export type ParsedResponse =
  | {
      readonly value: unknown;
      readonly validity: Validity;
      /** Vault's own warnings, safe to log. */
      readonly warnings: readonly string[];
    }
  | { readonly malformed: string };

/** Parses the body of a response. Never throws. `nowMs` is the wall time. */
export function parseResponse(
  bytes: Uint8Array,
  shape: ResponseShape,
  nowMs: number,
): ParsedResponse {
  const body = parseObject(bytes);
  if (body === undefined) return { malformed: 'is not a JSON object' };
  return parseBody(body, shape, nowMs);
}

/** Kinds of mounts whose data may be a version of a KV version 2 secret. */
const MAY_BE_VERSIONED: ReadonlySet<ResponseShape['mount']> = new Set(['kv2', 'unknown']);

/** As {@link parseResponse}, for a body that is already parsed. */
export function parseBody(body: JsonObject, shape: ResponseShape, nowMs: number): ParsedResponse {
  const warnings = stringsAt(body, 'warnings').map((warning) => printable(warning, []));
  const data = body['data'] ?? {};
  if (shape.isVersion && !isVersioned(data)) return { malformed: 'is not a KV version 2 secret' };
  if (!isRecord(data)) return { malformed: 'has data that is not an object' };
  if (shape.isList) return { ...listedNames(data), warnings };
  if (isVersioned(data) && MAY_BE_VERSIONED.has(shape.mount)) {
    return { value: objectAt(data, 'data'), validity: { kind: 'static' }, warnings };
  }
  const auth = body['auth'];
  if (isRecord(auth)) return { value: auth, validity: authValidity(auth, nowMs), warnings };
  return { value: data, validity: validityOf(body, data, shape, nowMs), warnings };
}

function validityOf(
  body: JsonObject,
  data: JsonObject,
  { mount }: ResponseShape,
  nowMs: number,
): Validity {
  const facts = {
    leaseId: stringAt(body, 'lease_id'),
    leaseDurationMs: secondsAt(body, 'lease_duration'),
    renewable: body['renewable'] === true,
    // The keys of a KV secret are the user's: they say nothing about its validity.
    data: mount === 'kv1' || mount === 'kv2' ? {} : data,
  };
  const validity = classifyValidity(facts, nowMs);
  // It may be KV as well.
  const isUnclear = mount === 'unknown' && validity.kind === 'expires';
  return isUnclear ? { ...validity, isStored: true } : validity;
}

function listedNames(
  data: JsonObject,
): { readonly malformed: string } | { readonly value: unknown; readonly validity: Validity } {
  if (!Array.isArray(data['keys'])) return { malformed: 'has no keys' };
  return { value: stringsAt(data, 'keys'), validity: { kind: 'static' } };
}

/** A write that creates a token has no data and no lease: the token is its value. */
function authValidity(auth: JsonObject, nowMs: number): Validity {
  const ttlMs = secondsAt(auth, 'lease_duration');
  if (ttlMs === 0) return { kind: 'static' };
  return { kind: 'expires', expiresAtMs: nowMs + ttlMs };
}

/** The bytes as a JSON object; undefined if they are not one. */
export function parseObject(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value = parseJson(bytes);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
