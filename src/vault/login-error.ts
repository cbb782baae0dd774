/**
 * Why Vault rejected a login, and what to do about it.
 * Vault rejects nearly all logins with 400 and a text; the texts are those of its jwt, kubernetes and cert methods.
 * The reason is only for people and metrics: each may be transient, so none ends the retries.
 */
import type { LoginRequest } from '../contracts/index.ts';
import { type ErrorDetails, VouchsafeError } from '../core/index.ts';
import { errorForResponse, errorText, type ErrorResponse } from './error-response.ts';

interface Diagnosis {
  readonly reason: string;
  /** Matches Vault's text. */
  readonly text: RegExp;
  readonly hint: string;
  /** Set if Vault reports this problem of the login as an internal error (500). */
  readonly asServerError?: 'any method' | 'bearer';
}

/** The first match wins, so specific patterns come before general ones. */
const DIAGNOSES: readonly Diagnosis[] = [
  {
    reason: 'jwks',
    text: /get keys failed|fetching keys|error configuring token validator|keyset configuration|discovery/i,
    hint: 'Vault cannot fetch the signing keys (JWKS) of the identity provider; this is often temporary',
  },
  {
    reason: 'role-type',
    text: /oidc role_type/,
    hint: 'the role is of type oidc; set role_type=jwt on it',
  },
  {
    reason: 'role',
    text: /missing role|role .*could not be found|invalid role name|no role with that name/,
    hint: 'the role does not exist on this mount, or no role is set and the mount has no default_role',
  },
  {
    reason: 'audience',
    text: /\baud\b|audience/i,
    hint: 'the audience of the token is not in bound_audiences of the role',
  },
  {
    reason: 'subject',
    text: /\(sub\)|subject claim|service account name not authorized|namespace not authorized/,
    hint: 'the role is bound to another identity (SPIFFE ID or service account)',
  },
  {
    reason: 'issuer',
    text: /\(iss\)|issuer/,
    hint: 'the issuer of the token does not match bound_issuer of the mount; SPIRE sets an issuer only if jwt_issuer is configured',
  },
  {
    reason: 'expired',
    text: /\(exp\)|expired/,
    hint: 'the token has expired; compare the clocks of the node and of Vault',
  },
  {
    reason: 'not-yet-valid',
    text: /\((nbf|iat)\)|not yet valid|issued in the future/,
    hint: 'the token is not valid yet; compare the clocks of the node and of Vault',
  },
  {
    reason: 'signature',
    text: /signature|no known key/,
    hint: 'the token is signed with a key that Vault does not know; check that the mount uses the keys of this trust domain, and the current ones',
  },
  {
    reason: 'algorithm',
    text: /\(alg\)|algorithm/,
    hint: 'the signing algorithm of the token is not in jwt_supported_algs of the mount',
  },
  {
    reason: 'claims',
    text: /claim/,
    hint: 'a claim of the token does not match bound_claims, user_claim or groups_claim of the role',
  },
  {
    reason: 'alias',
    text: /missing name in alias/,
    asServerError: 'any method',
    hint: 'the X.509-SVID has no common name, which cert auth requires; add a DNS name to the registration entry',
  },
  {
    reason: 'bearer',
    text: /internal error|permission denied/,
    asServerError: 'bearer',
    hint: 'Vault treated the JWT-SVID as a Vault token; the mount must exist and list Authorization in passthrough_request_headers (SPIFFE auth requires Vault Enterprise 1.21)',
  },
  {
    reason: 'certificate',
    text: /certificate|tls connection|no chain/,
    hint: 'the certificate matches no role of the mount; compare its SPIFFE ID and CA with the role',
  },
  {
    reason: 'token-review',
    text: /lookup failed|token ?review/i,
    hint: 'Vault could not have the service account token reviewed by Kubernetes, or Kubernetes rejected it',
  },
  {
    reason: 'mount',
    text: /no handler for route|unsupported operation|unsupported path/,
    hint: 'this auth method is not enabled at this mount',
  },
  {
    reason: 'denied',
    text: /permission denied/,
    hint: 'the mount does not exist in this namespace, or the role is bound to other networks or identities',
  },
];

const UNKNOWN = { reason: 'unknown', hint: 'compare the role of the auth mount with the identity' };

/** The error for a rejected login. Overload, a sealed Vault and responses that are not Vault's keep their codes. */
export function loginError(
  request: LoginRequest,
  namespace: string | undefined,
): (answer: ErrorResponse) => VouchsafeError {
  return (answer) => {
    const vaultText = errorText(answer);
    const diagnosis = diagnose(request, answer.status, vaultText);
    if (diagnosis === undefined || answer.body === undefined) return errorForResponse(answer);
    const { reason, hint } = diagnosis;
    const quote = vaultText === '' ? '' : `; Vault said: ${vaultText}`;
    const text = `login ${describeLogin(request, namespace)} rejected: ${hint}${quote}`;
    return new VouchsafeError('ERR_VAULT_LOGIN_REFUSED', text, {
      details: { ...loginDetails(request, namespace), reason, status: answer.status },
    });
  };
}

function diagnose(
  request: LoginRequest,
  status: number,
  vaultText: string,
): Pick<Diagnosis, 'reason' | 'hint'> | undefined {
  const isRejection = [400, 401, 403, 404, 405].includes(status);
  if (!isRejection && status !== 500) return undefined;
  const known = DIAGNOSES.find(({ text, asServerError: only }) => {
    const applies = only === undefined ? isRejection : only === 'any method' || hasBearer(request);
    return applies && text.test(vaultText);
  });
  return known ?? (isRejection ? UNKNOWN : undefined);
}

function hasBearer(request: LoginRequest): boolean {
  return request.method === 'spiffe' && 'jwt' in request;
}

/** `at auth/jwt as role "app" in namespace "team"` */
export function describeLogin(request: LoginRequest, namespace: string | undefined): string {
  const role = request.role === undefined ? 'with the default role' : `as role "${request.role}"`;
  const place = namespace === undefined ? '' : ` in namespace "${namespace}"`;
  return `at auth/${request.mount} ${role}${place}`;
}

/** The same as details of an error. */
export function loginDetails(request: LoginRequest, namespace: string | undefined): ErrorDetails {
  return {
    method: request.method,
    mount: request.mount,
    ...(request.role === undefined ? {} : { role: request.role }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}
