/**
 * What is in an answer of Vault that holds a value: the value, and how long it is good. It needs nothing of
 * the client, so that a process that does nothing else can do it.
 */
import type { Validity } from '../contracts/index.ts';
import { isObject, objectAt, parseJson, secondsAt, stringAt, stringsAt } from './json.ts';
import type { JsonObject } from './json.ts';
import { printable } from './printable.ts';
import { classifyValidity } from './validity.ts';
import { isVersioned } from './versioned.ts';

/** What an answer is to. */
export interface AnswerShape {
  /** What kind of mount it comes from, as far as that is known. */
  readonly mount: 'kv1' | 'kv2' | 'other' | 'unknown';
  /** Whether it must be a version of KV v2. */
  readonly isVersion: boolean;
  /** Whether it must be a list of names. */
  readonly isList: boolean;
}

/** A value, or what is wrong with the answer: `is not a JSON object`. */
export type OpenedAnswer =
  | {
      readonly value: unknown;
      readonly validity: Validity;
      /** Vault's own remarks, fit for a log. */
      readonly warnings: readonly string[];
    }
  | { readonly malformed: string };

/** Opens the body of an answer. Never throws. `nowMs` is the wall time. */
export function openAnswer(bytes: Uint8Array, shape: AnswerShape, nowMs: number): OpenedAnswer {
  const body = objectOf(bytes);
  if (body === undefined) return { malformed: 'is not a JSON object' };
  return openBody(body, shape, nowMs);
}

/** As {@link openAnswer}, for a body that was read already. */
export function openBody(body: JsonObject, shape: AnswerShape, nowMs: number): OpenedAnswer {
  const warnings = stringsAt(body, 'warnings').map((warning) => printable(warning, []));
  const data = body['data'] ?? {};
  if (shape.isVersion && !isVersioned(data)) return { malformed: 'is not one of KV version 2' };
  if (!isObject(data)) return { malformed: 'has data that is no object' };
  if (shape.isList) return { ...namesIn(data), warnings };
  if (isVersioned(data) && (shape.mount === 'kv2' || shape.mount === 'unknown')) {
    return { value: objectAt(data, 'data'), validity: { kind: 'static' }, warnings };
  }
  const auth = body['auth'];
  if (isObject(auth)) return { value: auth, validity: authLife(auth, nowMs), warnings };
  const facts = {
    leaseId: stringAt(body, 'lease_id'),
    leaseDurationMs: secondsAt(body, 'lease_duration'),
    renewable: body['renewable'] === true,
    // What users keep in KV means nothing to Vault, whatever its names.
    data: shape.mount === 'kv1' || shape.mount === 'kv2' ? {} : data,
  };
  return { value: data, validity: classifyValidity(facts, nowMs), warnings };
}

function namesIn(
  data: JsonObject,
): { readonly malformed: string } | { readonly value: unknown; readonly validity: Validity } {
  if (!Array.isArray(data['keys'])) return { malformed: 'holds no keys' };
  return { value: stringsAt(data, 'keys'), validity: { kind: 'static' } };
}

/** A write that makes a token has no data and no lease: the token is its value. */
function authLife(auth: JsonObject, nowMs: number): Validity {
  const lifeMs = secondsAt(auth, 'lease_duration');
  if (lifeMs === 0) return { kind: 'static' };
  return { kind: 'expires', expiresAtMs: nowMs + lifeMs };
}

/** The bytes as a JSON object; undefined where they are none. */
export function objectOf(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value = parseJson(bytes);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
