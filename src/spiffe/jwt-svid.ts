/**
 * JWT-SVIDs and their keys as the Workload API sends them; the only user of `jose` in this folder.
 * Signatures are not checked: these tokens are our own, and Vault checks them.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md
 */
import { decodeProtectedHeader } from 'jose/decode/protected_header';
import { decodeJwt } from 'jose/jwt/decode';
import type { JSONWebKeySet, JWTPayload, ProtectedHeaderParameters } from 'jose';
import { Secret, VouchsafeError, type SpiffeId } from '../core/index.ts';
import { malformed, missingField, parseServerSpiffeId } from './malformed.ts';
import type { MessageValue } from './proto/codec.ts';
import type { MESSAGES } from './proto/messages.ts';

/** A clock of the issuer may be behind ours by that much. */
const LEEWAY_MS = 60_000;

const ALGORITHMS = /^(RS|ES|PS)(256|384|512)$/;
const TYPES: readonly unknown[] = [undefined, 'JWT', 'JOSE'];

/** A JWT identity document. */
export interface JwtSvid {
  readonly spiffeId: SpiffeId;
  readonly token: Secret<string>;
  readonly audiences: readonly string[];
  /** Epoch; undefined when the token does not say. */
  readonly issuedAtMs: number | undefined;
  /** Epoch. */
  readonly expiresAtMs: number;
  /** Tells several identities apart; empty when the server gave none. */
  readonly hint: string;
}

/** Keys that verify the JWT-SVIDs of one trust domain (RFC 7517); each has a `kid`. */
export type JwtBundle = JSONWebKeySet;

type Entry = MessageValue<typeof MESSAGES.JWTSVID>;

/**
 * Checks one entry of a JWTSVIDResponse to a request for `audiences`.
 *
 * @throws VouchsafeError `ERR_SPIFFE_MALFORMED` for a mandatory field that is missing, `ERR_SPIFFE_SVID_INVALID`
 *   for a token that is no JWT-SVID, has expired, or is for other audiences.
 */
export function parseJwtSvid(entry: Entry, audiences: readonly string[], nowMs: number): JwtSvid {
  const spiffeId = parseServerSpiffeId(entry.spiffeId, 'JWTSVID');
  if (entry.svid === '') throw missingField('JWTSVID', 'svid');
  const refuse = (problem: string): VouchsafeError =>
    new VouchsafeError(
      'ERR_SPIFFE_SVID_INVALID',
      `the JWT-SVID of ${spiffeId.uri} cannot be used: ${problem}`,
    );
  const decoded = decode(entry.svid);
  if (decoded === undefined) throw refuse('it is not a JSON Web Token in compact form');
  const { header, payload } = decoded;
  if (!isAllowed(header.alg)) throw refuse('its signature algorithm is not allowed');
  if (!TYPES.includes(header.typ)) throw refuse('its type is neither JWT nor JOSE');
  if (payload.sub !== spiffeId.uri) throw refuse('its subject is another one');
  const granted = audiencesOf(payload);
  const missing = audiences.filter((audience) => !granted.includes(audience));
  if (missing.length > 0) throw refuse(`it is not for the audience ${missing.join(', ')}`);
  const expiresAtMs = toMs(payload.exp);
  if (expiresAtMs === undefined) throw refuse('it has no expiry');
  if (expiresAtMs + LEEWAY_MS <= nowMs) {
    throw refuse(`it expired at ${new Date(expiresAtMs).toISOString()} by the clock of this node`);
  }
  return {
    spiffeId,
    token: new Secret(entry.svid),
    audiences: granted,
    issuedAtMs: toMs(payload.iat),
    expiresAtMs,
    hint: entry.hint,
  };
}

/** Reads the JWKS of one trust domain; keys of other use or without `kid` are left out. */
export function parseJwtBundle(bytes: Uint8Array, trustDomainId: string): JwtBundle {
  const refuse = (cause?: unknown): VouchsafeError =>
    malformed(`the identity provider sent the JWT keys of ${trustDomainId} as no JWKS`, cause);
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw refuse(); // without the cause, which quotes the document
  }
  if (!isObject(document) || !Array.isArray(document['keys'])) throw refuse();
  const keys: unknown[] = document['keys'];
  return { keys: keys.filter(isJwtKey) };
}

function isJwtKey(key: unknown): key is JwtBundle['keys'][number] {
  if (!isObject(key) || typeof key['kty'] !== 'string') return false;
  const { kid, use } = key;
  return typeof kid === 'string' && kid !== '' && (use === undefined || use === 'jwt-svid');
}

interface Decoded {
  readonly header: ProtectedHeaderParameters;
  readonly payload: JWTPayload;
}

function decode(token: string): Decoded | undefined {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
  try {
    return { header: decodeProtectedHeader(token), payload: decodeJwt(token) };
  } catch {
    return undefined; // without the cause, which may quote the token
  }
}

/** A header is whatever the server wrote: an object in it may not even have a text. */
function isAllowed(algorithm: unknown): boolean {
  return typeof algorithm === 'string' && ALGORITHMS.test(algorithm);
}

/** A claim is whatever the server wrote; its type in jose is only what it should be. */
function audiencesOf({ aud }: { readonly aud?: unknown }): readonly string[] {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return list.filter((item) => typeof item === 'string');
}

function toMs(seconds: unknown): number | undefined {
  const ms = typeof seconds === 'number' ? seconds * 1000 : Number.NaN;
  return Math.abs(ms) <= 8.64e15 ? ms : undefined; // what a Date can hold
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
