/**
 * Passes each newer X.509-SVID to the files and to the login.
 */
import type { AgentConfig } from '../config/agent/index.ts';
import type { IdentityPort } from './ports.ts';
import type { Login, Logins } from './logins.ts';
import type { Values } from './values.ts';

export interface X509Parts {
  readonly config: Pick<AgentConfig, 'files'>;
  readonly identity: IdentityPort;
  readonly values: Values;
  readonly logins: Logins<Pick<Login, 'name' | 'auth' | 'sessions'>>;
}

/** Whether a config uses the X.509-SVID. */
export function needsX509(config: Pick<AgentConfig, 'files' | 'auth' | 'logins'>): boolean {
  const methods = [config, ...config.logins].map(({ auth }) => auth?.method);
  return hasX509File(config) || methods.includes('cert');
}

/**
 * Follows the X.509-SVID until `signal` aborts.
 *
 * @throws VouchsafeError `ERR_SPIFFE_*` that a retry cannot solve.
 */
export async function followX509(parts: X509Parts, signal: AbortSignal): Promise<void> {
  const { config, identity, values, logins } = parts;
  let known: string | undefined;
  for await (const files of identity.x509Updates(signal)) {
    if (hasX509File(config)) values.setFromStream({ kind: 'x509-svid' }, files);
    // Vault binds the renewal of a cert login to its certificate, so a new one needs a new login.
    const isRotated = known !== undefined && known !== files.svid;
    for (const { auth, sessions } of logins.values()) {
      if (auth.method === 'cert' && isRotated) sessions.replace();
    }
    known = files.svid;
  }
}

function hasX509File({ files }: Pick<AgentConfig, 'files'>): boolean {
  return files.some(({ source }) => source.kind === 'x509-svid');
}
