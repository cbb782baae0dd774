/**
 * The login methods by signed token: `jwt` and `kubernetes`. Service account tokens are verified with public keys,
 * where Vault would request a TokenReview. The texts of errors are those of Vault, as far as the product's diagnosis of logins depends on them.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/auth/jwt
 * @see https://developer.hashicorp.com/vault/api-docs/auth/kubernetes
 */
import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto';
import { errors, jwtVerify, type JWTPayload } from 'jose';
import { asObject, Fields, matchesGlob } from '../fields.ts';
import { VaultError } from '../messages.ts';
import type { Login } from './login.ts';

const FETCH_TIMEOUT_MS = 10_000;

/** Default tolerance for clocks that differ, in seconds; `clock_skew_leeway` of the role may be -1 for none. */
const CLOCK_SKEW = 60;

const CLAIM_ERRORS: Readonly<Record<string, string>> = {
  aud: 'invalid audience (aud) claim: audience claim does not match any expected audience',
  exp: 'invalid expiration time (exp) claim: token is expired',
  nbf: 'invalid not before (nbf) claim: token not yet valid',
};

const BAD_SIGNATURE =
  'error verifying token signature: no known key successfully validated the token signature';

/** Method `jwt`: `bound_audiences`, `bound_subject` and `bound_claims` of the role. @throws VaultError 400 */
export async function checkJwt(login: Login): Promise<void> {
  const { request, config, role } = login;
  const jwt = new Fields(request.body).text('jwt');
  const audiences = role.list('bound_audiences');
  const claims = await verify(jwt, await remoteKeys(config.text('jwks_url')), login, audiences);
  const subject = role.text('bound_subject');
  if (subject !== '' && subject !== claims.sub) rejectToken('invalid subject (sub) claim');
  const bound = new Fields(role.object('bound_claims'));
  for (const name of Object.keys(bound.body)) {
    const value = new Fields(claims).text(name);
    if (bound.list(name).some((pattern) => matchesGlob(pattern, value))) continue;
    const text = `claim "${name}" does not match any associated bound claim values`;
    throw new VaultError(400, `error validating claims: ${text}`);
  }
}

/** Method `kubernetes`: names and namespaces of service accounts. @throws VaultError 403 */
export async function checkServiceAccount(login: Login): Promise<void> {
  const { request, config, role } = login;
  const keys = config.list('pem_keys').map((pem) => createPublicKey(pem));
  const jwt = new Fields(request.body).text('jwt');
  const claims = new Fields(await verify(jwt, keys, login, role.list('audience')));
  const bound = new Fields(claims.object('kubernetes.io'));
  const name = new Fields(bound.object('serviceaccount')).text('name');
  if (!role.list('bound_service_account_names').includes(name)) {
    throw new VaultError(403, 'service account name not authorized');
  }
  if (!role.list('bound_service_account_namespaces').includes(bound.text('namespace'))) {
    throw new VaultError(403, 'namespace not authorized');
  }
}

/** The claims of a token that one of the keys signed. @throws VaultError 400 */
export async function verify(
  jwt: string,
  keys: readonly KeyObject[],
  { role, clock }: Login,
  audience: string[],
): Promise<JWTPayload> {
  const clockTolerance = role.text('clock_skew_leeway') === '-1' ? 0 : CLOCK_SKEW;
  const options = {
    currentDate: new Date(clock.now()),
    clockTolerance,
    requiredClaims: ['exp'],
    ...(audience.length === 0 ? {} : { audience }),
  };
  for (const key of keys) {
    try {
      return (await jwtVerify(jwt, key, options)).payload;
    } catch (error) {
      const isOfClaim =
        error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired;
      if (isOfClaim) rejectToken(CLAIM_ERRORS[error.claim] ?? `invalid claim "${error.claim}"`);
    }
  }
  return rejectToken(BAD_SIGNATURE);
}

async function remoteKeys(url: string): Promise<readonly KeyObject[]> {
  let reason = '';
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
    const document = asObject(await response.json());
    if (response.ok && document !== undefined) return keysOf(document);
    reason = `: ${response.status} ${response.statusText}`;
  } catch {
    reason = ` Get "${url}"`;
  }
  return rejectToken(
    `error verifying token signature: fetching keys oidc: get keys failed${reason}`,
  );
}

/** The keys of a JWKS. */
export function keysOf({ keys }: Readonly<Record<string, unknown>>): readonly KeyObject[] {
  const all = Array.isArray(keys) ? (keys as readonly webcrypto.JsonWebKey[]) : []; // our own provider's JWKS
  return all.map((key) => createPublicKey({ format: 'jwk', key }));
}

function rejectToken(reason: string): never {
  throw new VaultError(400, `error validating token: ${reason}`);
}
