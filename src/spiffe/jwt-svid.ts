/**
 * JWT-SVIDs and their keys as the Workload API sends them. Only this file imports `jose` here.
 * Signatures are not verified: the tokens are the workload's own, and Vault verifies them.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md
 */
import { decodeProtectedHeader } from 'jose/decode/protected_header';
import { decodeJwt } from 'jose/jwt/decode';
import type { JSONWebKeySet, JWTPayload, ProtectedHeaderParameters } from 'jose';
import { isRecord, Secret, VouchsafeError, type SpiffeId } from '../core/index.ts';
import { malformed, missingField, parseServerSpiffeId } from './malformed.ts';
import type { MessageValue } from './proto/codec.ts';
import type { MESSAGES } from './proto/messages.ts';

/** How far the issuer's clock may be behind this node's. */
const LEEWAY_MS = 60_000;

const ALGORITHMS = /^(RS|ES|PS)(256|384|512)$/;
const TYPES: readonly unknown[] = [undefined, 'JWT', 'JOSE'];

/** A JWT-SVID. */
export interface JwtSvid {
  readonly spiffeId: SpiffeId;
  readonly token: Secret<string>;
  readonly audiences: readonly string[];
  /** Epoch; undefined if the token has no `iat`. */
  readonly issuedAtMs: number | undefined;
  /** Epoch. */
  readonly expiresAtMs: number;
  /** Distinguishes several identities; empty if the server sent none. */
  readonly hint: string;
}

/** Keys that verify the JWT-SVIDs of one trust domain (RFC 7517); each has a `kid`. */
export type JwtBundle = JSONWebKeySet;

type Entry = MessageValue<typeof MESSAGES.JWTSVID>;

/**
 * Checks one entry of a JWTSVIDResponse to a request for `audiences`.
 *
 * @throws VouchsafeError `ERR_SPIFFE_MALFORMED` for a mandatory field that is missing, `ERR_SPIFFE_SVID_INVALID`
 *   for a token that is not a JWT-SVID, has expired, or is for other audiences.
 */
export function parseJwtSvid(entry: Entry, audiences: readonly string[], nowMs: number): JwtSvid {
  const spiffeId = parseServerSpiffeId(entry.spiffeId, 'JWTSVID');
  if (entry.svid === '') throw missingField('JWTSVID', 'svid');
  const invalid = (problem: string): VouchsafeError =>
    new VouchsafeError(
      'ERR_SPIFFE_SVID_INVALID',
      `the JWT-SVID of ${spiffeId.uri} cannot be used: ${problem}`,
    );
  const decoded = decode(entry.svid);
  if (decoded === undefined) throw invalid('it is not a JSON Web Token in compact form');
  const { header, payload } = decoded;
  if (!isAllowed(header.alg)) throw invalid('its signature algorithm is not allowed');
  if (!TYPES.includes(header.typ)) throw invalid('its type is neither JWT nor JOSE');
  if (payload.sub !== spiffeId.uri) throw invalid('its subject is not that SPIFFE ID');
  const granted = audiencesOf(payload);
  const missing = audiences.filter((audience) => !granted.includes(audience));
  if (missing.length > 0) throw invalid(`it is not for the audience ${missing.join(', ')}`);
  const expiresAtMs = toMs(payload.exp);
  if (expiresAtMs === undefined) throw invalid('it has no expiry');
  if (expiresAtMs + LEEWAY_MS <= nowMs) {
    throw invalid(`it expired at ${new Date(expiresAtMs).toISOString()} by the clock of this node`);
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

/** Reads the JWKS of one trust domain; keys for other uses or without `kid` are left out. */
export function parseJwtBundle(bytes: Uint8Array, trustDomainId: string): JwtBundle {
  const invalid = (cause?: unknown): VouchsafeError =>
    malformed(`the identity provider sent JWT keys of ${trustDomainId} that are not a JWKS`, cause);
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalid(); // without the cause, which quotes the document
  }
  if (!isRecord(document) || !Array.isArray(document['keys'])) throw invalid();
  const keys: unknown[] = document['keys'];
  return { keys: keys.filter(isJwtKey) };
}

function isJwtKey(key: unknown): key is JwtBundle['keys'][number] {
  if (!isRecord(key) || typeof key['kty'] !== 'string') return false;
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

/** The header is untrusted: any JSON value is possible. */
function isAllowed(algorithm: unknown): boolean {
  return typeof algorithm === 'string' && ALGORITHMS.test(algorithm);
}

/** Claims are untrusted: their types in jose are not checked. */
function audiencesOf({ aud }: { readonly aud?: unknown }): readonly string[] {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return list.filter((item) => typeof item === 'string');
}

function toMs(seconds: unknown): number | undefined {
  const ms = typeof seconds === 'number' ? seconds * 1000 : Number.NaN;
  return Math.abs(ms) <= 8.64e15 ? ms : undefined; // the range of Date
}
