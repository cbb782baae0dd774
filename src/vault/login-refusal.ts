/**
 * Why Vault refused a login, and what to do about it.
 * Vault answers nearly every refusal with 400 and a text; texts are from its jwt, kubernetes and cert methods.
 * The reason serves people and metrics alone: any of them may be transient, so none ends the retries.
 */
import type { LoginRequest } from '../contracts/index.ts';
import { type ErrorDetails, VouchsafeError } from '../core/index.ts';
import { refusalOf, refusalText, type RefusedAnswer } from './refusal.ts';

interface Diagnosis {
  readonly reason: string;
  /** What Vault's text looks like. */
  readonly text: RegExp;
  readonly hint: string;
  /** Set where Vault blames itself (500) for what is wrong with the login. */
  readonly asServerError?: 'any method' | LoginRequest['method'];
}

/** First match wins, so the particular stands before the general. */
const DIAGNOSES: readonly Diagnosis[] = [
  {
    reason: 'jwks',
    text: /get keys failed|fetching keys|error configuring token validator|keyset configuration|discovery/i,
    hint: 'Vault cannot fetch the signing keys (JWKS) of the identity provider; this often passes by itself',
  },
  {
    reason: 'role-type',
    text: /oidc role_type/,
    hint: 'the role is of type oidc; set role_type=jwt on it',
  },
  {
    reason: 'role',
    text: /missing role|role .*could not be found|invalid role name|no role with that name/,
    hint: 'the role does not exist on this mount, or none was given and the mount has no default_role',
  },
  {
    reason: 'audience',
    text: /\baud\b|audience/i,
    hint: 'the audience of the token is not among bound_audiences of the role',
  },
  {
    reason: 'subject',
    text: /\(sub\)|subject claim|service account name not authorized|namespace not authorized/,
    hint: 'the identity (SPIFFE ID or service account) is not the one that the role is bound to',
  },
  {
    reason: 'issuer',
    text: /\(iss\)|issuer/,
    hint: 'bound_issuer of the mount does not match; SPIRE sends an issuer only when jwt_issuer is set',
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
    hint: 'the token is signed with a key that Vault does not know; does the mount take its keys from this trust domain, and afresh?',
  },
  {
    reason: 'algorithm',
    text: /\(alg\)|algorithm/,
    hint: 'the signing algorithm of the token is not among jwt_supported_algs of the mount',
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
    hint: 'the X.509-SVID has no common name, which cert auth needs; give the registration entry a DNS name',
  },
  {
    reason: 'bearer',
    text: /internal error|permission denied/,
    asServerError: 'spiffe',
    hint: 'Vault took the JWT-SVID for a token of its own; the mount must exist and list Authorization in passthrough_request_headers (SPIFFE auth needs Vault Enterprise 1.21)',
  },
  {
    reason: 'certificate',
    text: /certificate|tls connection|no chain/,
    hint: 'the certificate matches no role of the mount; compare its SPIFFE ID and CA with the role',
  },
  {
    reason: 'token-review',
    text: /lookup failed|token ?review/i,
    hint: 'Vault could not have the service-account token reviewed by Kubernetes, or it was rejected there',
  },
  {
    reason: 'mount',
    text: /no handler for route|unsupported operation|unsupported path/,
    hint: 'there is no such auth method at this mount',
  },
  {
    reason: 'denied',
    text: /permission denied/,
    hint: 'the mount does not exist in this namespace, or the role is bound to other networks or identities',
  },
];

const UNKNOWN = { reason: 'unknown', hint: 'compare the role of the auth mount with the identity' };

/** Makes the error of a refused login. Overload, sealing and answers that are not Vault's keep their codes. */
export function loginRefusal(
  request: LoginRequest,
  namespace: string | undefined,
): (answer: RefusedAnswer) => VouchsafeError {
  return (answer) => {
    const said = refusalText(answer);
    const diagnosis = diagnose(request, answer.status, said);
    if (diagnosis === undefined || answer.body === undefined) return refusalOf(answer);
    const { reason, hint } = diagnosis;
    const quote = said === '' ? '' : `; Vault said: ${said}`;
    const text = `login ${describeLogin(request, namespace)} refused: ${hint}${quote}`;
    return new VouchsafeError('ERR_VAULT_LOGIN_REFUSED', text, {
      details: { ...loginDetails(request, namespace), reason, status: answer.status },
    });
  };
}

function diagnose(
  request: LoginRequest,
  status: number,
  said: string,
): Pick<Diagnosis, 'reason' | 'hint'> | undefined {
  const isRefusal = [400, 401, 403, 404, 405].includes(status);
  if (!isRefusal && status !== 500) return undefined;
  const known = DIAGNOSES.find(({ text, asServerError: only }) => {
    const applies =
      only === undefined ? isRefusal : only === 'any method' || only === request.method;
    return applies && text.test(said);
  });
  return known ?? (isRefusal ? UNKNOWN : undefined);
}

/** `at auth/jwt as role "app" in namespace "team"` */
export function describeLogin(request: LoginRequest, namespace: string | undefined): string {
  const role = request.role === undefined ? 'with the default role' : `as role "${request.role}"`;
  const place = namespace === undefined ? '' : ` in namespace "${namespace}"`;
  return `at auth/${request.mount} ${role}${place}`;
}

/** The same for machines. */
export function loginDetails(request: LoginRequest, namespace: string | undefined): ErrorDetails {
  return {
    method: request.method,
    mount: request.mount,
    ...(request.role === undefined ? {} : { role: request.role }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}
