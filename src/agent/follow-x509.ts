/**
 * Passes each newer X.509-SVID to the files and to the login.
 */
import { presentsX509, type AgentConfig } from '../config/agent/index.ts';
import { certificateOf } from './client-certificates.ts';
import type { IdentityPort } from './ports.ts';
import type { Login, Logins } from './logins.ts';
import type { Values } from './values.ts';

export interface X509Parts {
  readonly config: Pick<AgentConfig, 'files'>;
  readonly identity: IdentityPort;
  readonly values: Values;
  readonly logins: Logins<Pick<Login, 'name' | 'auth' | 'vault' | 'sessions'>>;
}

/** Whether a config uses the X.509-SVID. */
export function needsX509(config: Pick<AgentConfig, 'files' | 'auth' | 'logins'>): boolean {
  const logins = [config, ...config.logins];
  return hasX509File(config) || logins.some(({ auth }) => auth !== undefined && presentsX509(auth));
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
    for (const { auth, vault, sessions } of logins.values()) {
      if (!presentsX509(auth) || known === files.svid) continue;
      // Vault binds the renewal of a cert login to its certificate: a new one is presented by a new login.
      if (auth.method === 'cert' && known !== undefined) sessions.replace();
      else vault.present(certificateOf(files));
    }
    known = files.svid;
  }
}

function hasX509File({ files }: Pick<AgentConfig, 'files'>): boolean {
  return files.some(({ source }) => source.kind === 'x509-svid');
}
