/**
 * Verifies a JWT and its registered claims, with the texts of Vault's validator.
 */
import { compactVerify, decodeProtectedHeader } from 'jose';
import { asList, asObject } from '../core/fields.ts';
import { Refusal } from '../core/messages.ts';
import type { Claims } from './claims.ts';
import type { KeySource, VerificationKey } from './key-source.ts';

/** Milliseconds; 0 for Vault's default, negative for none. */
export interface Leeways {
  readonly expirationMs: number;
  readonly notBeforeMs: number;
  readonly clockSkewMs: number;
}

/** Expected values of claims; empty ones are not compared. */
export interface Expectations {
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
  readonly leeways: Leeways;
  readonly nowMs: number;
}

/** Algorithms accepted by default. */
export const SUPPORTED_ALGORITHMS: readonly string[] = [
  'RS256',
  'RS384',
  'RS512',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'EdDSA',
];

const DEFAULT_CLAIM_LEEWAY_MS = 150_000;
const DEFAULT_CLOCK_SKEW_MS = 60_000;

/**
 * The claims of a token that one of the keys signed. Unknown keys make a remote source fetch once more.
 *
 * @throws Refusal 400
 */
export async function verifySignature(
  jwt: string,
  keys: KeySource,
  configured: readonly string[],
): Promise<Claims> {
  const algorithms = configured.length === 0 ? SUPPORTED_ALGORITHMS : configured;
  const header = readHeader(jwt, keys.isRemote);
  const algorithm = header.algorithm;
  if (keys.isRemote && !SUPPORTED_ALGORITHMS.includes(algorithm)) {
    const expected = SUPPORTED_ALGORITHMS.map((name) => `"${name}"`).join(' ');
    throw unverified(
      `oidc: malformed jwt: unexpected signature algorithm "${algorithm}"; expected [${expected}]`,
    );
  }
  const claims =
    (await tryKeys(jwt, header.keyId, keys.known())) ??
    (await tryKeys(jwt, header.keyId, await refreshed(keys)));
  if (claims === undefined) {
    throw unverified(
      keys.isRemote
        ? 'failed to verify id token signature'
        : 'no known key successfully validated the token signature',
    );
  }
  if (!algorithms.includes(algorithm)) {
    throw new Refusal(
      400,
      'invalid algorithm (alg) header parameter: token signed with unexpected algorithm',
    );
  }
  return claims;
}

/** @throws Refusal 400 for the first claim that is not as expected, in Vault's order. */
export function checkClaims(claims: Claims, expected: Expectations): void {
  checkTimes(claims, expected.leeways, Math.floor(expected.nowMs / 1000));
  if (expected.issuer !== '' && claims['iss'] !== expected.issuer) {
    throw new Refusal(400, 'invalid issuer (iss) claim');
  }
  if (expected.subject !== '' && claims['sub'] !== expected.subject) {
    throw new Refusal(400, 'invalid subject (sub) claim');
  }
  const given = asList(claims['aud']);
  if (
    expected.audiences.length > 0 &&
    !expected.audiences.some((audience) => given.includes(audience))
  ) {
    throw new Refusal(
      400,
      'invalid audience (aud) claim: audience claim does not match any expected audience',
    );
  }
}

/** Missing `exp` and `nbf` are derived from the other claims, as by Vault; all in seconds. */
function checkTimes(claims: Claims, leeways: Leeways, now: number): void {
  const [iat, nbf, exp] = [instant(claims, 'iat'), instant(claims, 'nbf'), instant(claims, 'exp')];
  if (iat === 0 && nbf === 0 && exp === 0) {
    throw new Refusal(
      400,
      'no issued at (iat), not before (nbf), or expiration time (exp) claims in token',
    );
  }
  const skew = leewaySeconds(leeways.clockSkewMs, DEFAULT_CLOCK_SKEW_MS);
  const expirationLeeway = leewaySeconds(leeways.expirationMs, DEFAULT_CLAIM_LEEWAY_MS);
  const notBeforeLeeway = leewaySeconds(leeways.notBeforeMs, DEFAULT_CLAIM_LEEWAY_MS);
  const expires = exp || Math.max(iat, nbf) + expirationLeeway;
  const begins = nbf || iat || exp - notBeforeLeeway;
  if (now >= expires + skew) {
    throw new Refusal(400, 'invalid expiration time (exp) claim: token is expired');
  }
  if (now < begins - skew) {
    throw new Refusal(400, 'invalid not before (nbf) claim: token not yet valid');
  }
  if (now < iat - skew) {
    throw new Refusal(400, 'invalid issued at (iat) claim: token issued in the future');
  }
}

function instant(claims: Claims, name: string): number {
  const value = claims[name];
  return typeof value === 'number' ? value : 0;
}

function leewaySeconds(ms: number, defaultMs: number): number {
  if (ms < 0) return 0;
  return (ms === 0 ? defaultMs : ms) / 1000;
}

async function refreshed(keys: KeySource): Promise<readonly VerificationKey[]> {
  try {
    return await keys.refresh();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw unverified(`fetching keys ${error.message}`);
  }
}

async function tryKeys(
  jwt: string,
  keyId: string,
  keys: readonly VerificationKey[],
): Promise<Claims | undefined> {
  for (const { id, key } of keys) {
    if (keyId !== '' && id !== '' && id !== keyId) continue;
    try {
      const { payload } = await compactVerify(jwt, key);
      return asObject(JSON.parse(Buffer.from(payload).toString()));
    } catch {
      // Not this key; jose tells the reasons apart, Vault does not.
    }
  }
  return undefined;
}

function readHeader(jwt: string, isRemote: boolean): { algorithm: string; keyId: string } {
  const prefix = isRemote ? 'oidc: malformed jwt: ' : '';
  if (jwt.split('.').length !== 3) {
    throw unverified(`${prefix}go-jose/go-jose: compact JWS format must have three parts`);
  }
  try {
    const { alg, kid } = decodeProtectedHeader(jwt);
    return { algorithm: alg ?? '', keyId: kid ?? '' };
  } catch {
    throw unverified(`${prefix}illegal base64 data at input byte 0`);
  }
}

function unverified(reason: string): Refusal {
  return new Refusal(400, `error verifying token signature: ${reason}`);
}
