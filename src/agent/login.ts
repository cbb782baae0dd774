/**
 * One login with the current identity. SVIDs and tokens are fetched for it and not kept.
 */
import type { LoginRequest, VaultToken } from '../contracts/index.ts';
import { type Clock, type Grants, Secret, VouchsafeError } from '../core/index.ts';
import { presentsX509, type AuthConfig } from '../config/agent/index.ts';
import { certificateOf } from './client-certificates.ts';
import type { FilesPort, IdentityPort, TokenPort, VaultPort } from './ports.ts';

/** The largest service-account token that is accepted. */
const MAX_TOKEN_FILE_BYTES = 64 * 1024;

/** A JWT-SVID that expires sooner than this may expire before Vault validates it. */
const MIN_SVID_LIFE_MS = 2000;

export interface LoginParts {
  readonly auth: AuthConfig;
  /** Limits what may be read. Empty: the login is denied as well. */
  readonly grants: Grants | undefined;
  readonly vault: Pick<VaultPort, 'login'>;
  /** Undefined if the login uses a token file. */
  readonly identity: IdentityPort | undefined;
  readonly files: Pick<FilesPort, 'read'>;
  /** Undefined if the login uses an SVID or a token file. */
  readonly token?: TokenPort | undefined;
  readonly clock: Clock;
}

/**
 * Fetches the identity and logs in, once.
 *
 * @throws VouchsafeError `ERR_POLICY_DENIED`, `ERR_SPIFFE_*` for the identity, `ERR_VAULT_*` for the login,
 * `ERR_VAULT_TOKEN_FILE`.
 */
export async function loginOnce(parts: LoginParts, signal: AbortSignal): Promise<VaultToken> {
  const { mount, role } = parts.auth;
  if (parts.grants?.length === 0) {
    const as = role === undefined ? '' : ` as ${role}`;
    throw new VouchsafeError('ERR_POLICY_DENIED', `no policy allows a login at auth/${mount}${as}`);
  }
  return parts.vault.login(await loginRequest(parts, signal), signal);
}

async function loginRequest(parts: LoginParts, signal: AbortSignal): Promise<LoginRequest> {
  const { auth } = parts;
  const target = { mount: auth.mount, ...(auth.role === undefined ? {} : { role: auth.role }) };
  const { method } = auth;
  if (method === 'cert' || (method === 'spiffe' && presentsX509(auth))) {
    const certificate = certificateOf(await identityOf(parts).x509Svid(signal));
    return { ...target, method, certificate };
  }
  return { ...target, method, jwt: await jwtOf(parts, signal) };
}

async function jwtOf(parts: LoginParts, signal: AbortSignal): Promise<Secret<string>> {
  const { auth, token } = parts;
  if (auth.tokenFile === undefined) return jwtSvid(parts, signal);
  if (token !== undefined) return token.token(auth, signal);
  return tokenFromFile(parts, auth.tokenFile);
}

async function jwtSvid(parts: LoginParts, signal: AbortSignal): Promise<Secret<string>> {
  const svid = await identityOf(parts).jwtSvid([parts.auth.audience], signal);
  if (svid.expiresAtMs - parts.clock.now() < MIN_SVID_LIFE_MS) {
    throw new VouchsafeError(
      'ERR_SPIFFE_SVID_INVALID',
      `the JWT-SVID of ${svid.spiffeId.uri} has expired or is about to; is the SPIRE server reachable for its agent, and the clock correct?`,
    );
  }
  return svid.token;
}

async function tokenFromFile(parts: LoginParts, path: string): Promise<Secret<string>> {
  let text: string;
  try {
    text = (await parts.files.read(path, MAX_TOKEN_FILE_BYTES)).trim();
  } catch (error) {
    throw new VouchsafeError(
      'ERR_VAULT_TOKEN_FILE',
      `cannot read the service-account token ${path}; is the projected volume mounted and readable for this user?`,
      { cause: error },
    );
  }
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) {
    throw new VouchsafeError('ERR_VAULT_TOKEN_FILE', `${path} does not hold a JWT`);
  }
  return new Secret(text);
}

function identityOf(parts: LoginParts): IdentityPort {
  if (parts.identity !== undefined) return parts.identity;
  throw new VouchsafeError(
    'ERR_CONFIG_INVALID',
    'auth needs an SVID, but spiffe.socket is not set',
  );
}
