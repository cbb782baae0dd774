/**
 * Logs in to Vault.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/auth/jwt#jwt-login
 */
import type { ClientCertificate, LoginRequest } from '../contracts/index.ts';
import { isRecord, normalizeVaultPath, Secret, VouchsafeError } from '../core/index.ts';
import type { ApiCall, VaultApi } from './api.ts';
import { numberAt, secondsAt, stringAt, stringsAt, type JsonObject } from './json.ts';
import { describeLogin, loginDetails, loginError } from './login-error.ts';
import type { LoginToken } from './types.ts';

/** Logs in once; after success with the method `cert`, its certificate is presented with every call. */
export async function login(
  api: VaultApi,
  request: LoginRequest,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<LoginToken> {
  if (normalizeVaultPath(request.mount) !== request.mount) {
    const text = `"${request.mount.slice(0, 100)}" is not a valid auth mount; set it without auth/ and without leading or trailing slashes`;
    throw new VouchsafeError('ERR_VAULT_BAD_REQUEST', text);
  }
  const call: ApiCall = {
    operation: 'login',
    isCreating: true,
    path: `auth/${request.mount}/login`,
    onErrorResponse: loginError(request, namespace),
    ...credentialsOf(request),
  };
  const body = await api.call(call, signal);
  const token = tokenOf(body, request, namespace);
  if (token === undefined) throw api.malformed(call.path, 'has no token');
  if (request.method === 'cert') api.identity = request.certificate;
  return token;
}

function credentialsOf(request: LoginRequest): Partial<ApiCall> & Pick<ApiCall, 'body'> {
  const role = request.role === undefined ? {} : { role: request.role };
  switch (request.method) {
    case 'jwt':
    case 'kubernetes':
      return { body: { ...role, jwt: request.jwt.reveal() }, secrets: [request.jwt] };
    case 'spiffe':
      return 'jwt' in request
        ? { body: { ...role, type: 'jwt' }, bearer: request.jwt }
        : { body: { ...role, type: 'cert' }, ...presented(request.certificate) };
    case 'cert':
      return {
        body: request.role === undefined ? {} : { name: request.role },
        ...presented(request.certificate),
      };
  }
}

function presented(certificate: ClientCertificate): Pick<ApiCall, 'identity' | 'secrets'> {
  return { identity: certificate, secrets: [certificate.keyPem] };
}

/** The TTL is the one in `auth`; the one at the top level is 0 for logins. */
function tokenOf(
  body: JsonObject | undefined,
  request: LoginRequest,
  namespace: string | undefined,
): LoginToken | undefined {
  const auth = body?.['auth'];
  const where = describeLogin(request, namespace);
  const details = loginDetails(request, namespace);
  if (!isRecord(auth)) {
    if (!isRecord(body?.['wrap_info'])) return undefined;
    const text = `login ${where} returned a wrapped token; disable response wrapping for logins`;
    throw new VouchsafeError('ERR_VAULT_LOGIN_WRAPPED', text, { details });
  }
  if (isRecord(auth['mfa_requirement'])) {
    const text = `login ${where} requires a second factor; exempt the role from MFA`;
    throw new VouchsafeError('ERR_VAULT_LOGIN_MFA', text, { details });
  }
  const token = stringAt(auth, 'client_token');
  if (token === '') return undefined;
  const accessor = stringAt(auth, 'accessor');
  return {
    token: new Secret(token),
    accessor: accessor === '' ? undefined : accessor,
    ttlMs: secondsAt(auth, 'lease_duration'),
    renewable: auth['renewable'] === true,
    type: auth['token_type'] === 'batch' ? 'batch' : 'service',
    numUses: numberAt(auth, 'num_uses'),
    policies: stringsAt(auth, 'policies'),
  };
}
