/**
 * Parses Vault's response to a read, list or write: the value and how long it is valid. Independent of the
 * client, so that a separate process can do it.
 */
import { isRecord } from '../core/index.ts';
import type { Validity } from '../contracts/index.ts';
import { parseJson, secondsAt, stringAt, stringsAt } from './json.ts';
import type { JsonObject } from './json.ts';
import { printable } from './printable.ts';
import {
  hasEnvelope,
  quoteWarnings,
  wrappingProblem,
  type ResponseProblem,
} from './response-problem.ts';
import { classifyValidity } from './validity.ts';
import { isVersioned } from './versioned.ts';

export type { ResponseProblem };

/** What the response must look like. */
export interface ResponseShape {
  /** Kind of the mount that it comes from, as far as known. */
  readonly mount: 'kv1' | 'kv2' | 'other' | 'unknown';
  /** Whether it must be a version of KV v2. */
  readonly isVersion: boolean;
  /** Whether it must be a list of names. */
  readonly isList: boolean;
  /** Whether the endpoint sends JSON without Vault's envelope, which is the value as it is. */
  readonly isBare: boolean;
}

/** A value, or why there is none. */
export type ParsedResponse =
  | {
      readonly value: unknown;
      readonly validity: Validity;
      /** Vault's own warnings, safe to log. */
      readonly warnings: readonly string[];
    }
  | { readonly problem: ResponseProblem };

/** Parses the body of a response. Never throws. `nowMs` is the wall time. */
export function parseResponse(
  bytes: Uint8Array,
  shape: ResponseShape,
  nowMs: number,
): ParsedResponse {
  const body = parseObject(bytes);
  if (body === undefined) return malformed('is not a JSON object');
  return parseBody(body, shape, nowMs);
}

/** Kinds of mounts whose data may be a version of a KV version 2 secret. */
const MAY_BE_VERSIONED: ReadonlySet<ResponseShape['mount']> = new Set(['kv2', 'unknown']);

/** As {@link parseResponse}, for a body that is already parsed. */
export function parseBody(body: JsonObject, shape: ResponseShape, nowMs: number): ParsedResponse {
  const wrapping = wrappingProblem(body);
  if (wrapping !== undefined) return { problem: wrapping };
  if (!hasEnvelope(body)) return parseBare(body, shape);
  const warnings = stringsAt(body, 'warnings').map((warning) => printable(warning, []));
  const { data, auth } = body;
  const mayBeToken = !shape.isList && !shape.isVersion;
  if (mayBeToken && isRecord(auth) && stringAt(auth, 'client_token') !== '') {
    return { value: auth, validity: authValidity(auth, nowMs), warnings };
  }
  if (!isRecord(data)) return noData(body, warnings);
  const parsed = shape.isList ? listedNames(data) : parseData({ body, data }, shape, nowMs);
  return 'problem' in parsed ? parsed : { ...parsed, warnings };
}

type Unwarned =
  { readonly problem: ResponseProblem } | { readonly value: unknown; readonly validity: Validity };

function parseData(
  { body, data }: { readonly body: JsonObject; readonly data: JsonObject },
  { mount, isVersion }: ResponseShape,
  nowMs: number,
): Unwarned {
  const isVersionLike = isVersioned(data);
  if (isVersion && !isVersionLike) return malformed('is not a KV version 2 secret');
  if (isVersionLike && MAY_BE_VERSIONED.has(mount)) {
    const value = data['data'];
    if (!isRecord(value)) return noValue('has a version of a secret without data');
    return { value, validity: { kind: 'static' } };
  }
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
  return { value: data, validity: isUnclear ? { ...validity, isStored: true } : validity };
}

function noData(
  { data, auth }: JsonObject,
  warnings: readonly string[],
): { readonly problem: ResponseProblem } {
  if (data !== undefined && data !== null) return noValue('has data that is not an object');
  if (isRecord(auth)) return noValue('has an auth without a token');
  return noValue(`has no data${quoteWarnings(warnings)}`);
}

/** JSON without Vault's envelope: the value of some endpoints, otherwise hardly an answer of Vault. */
function parseBare(body: JsonObject, { isBare, isList }: ResponseShape): ParsedResponse {
  if (isBare && !isList && Object.keys(body).length > 0 && !Array.isArray(body['errors'])) {
    return { value: body, validity: { kind: 'static' }, warnings: [] };
  }
  return noValue('is JSON, but not in the form of Vault (it has neither request_id nor data)');
}

function malformed(what: string): { readonly problem: ResponseProblem } {
  return { problem: { kind: 'malformed', what } };
}

function noValue(what: string): { readonly problem: ResponseProblem } {
  return { problem: { kind: 'no-value', what } };
}

function listedNames(data: JsonObject): Unwarned {
  const keys = data['keys'] ?? undefined;
  if (keys === undefined) return noValue('has no keys');
  const isList = Array.isArray(keys) && keys.every((key) => typeof key === 'string');
  if (!isList) return malformed('has keys that are not a list of names');
  return { value: keys, validity: { kind: 'static' } };
}

/** A write that creates a token has no data and no lease: the token is its value. */
function authValidity(auth: JsonObject, nowMs: number): Validity {
  const ttlMs = secondsAt(auth, 'lease_duration');
  if (ttlMs === 0) return { kind: 'static' };
  // Vault revokes it together with the token that made it.
  const isChild = auth['orphan'] === false;
  return { kind: 'expires', expiresAtMs: nowMs + ttlMs, ...(isChild && { isChild }) };
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
