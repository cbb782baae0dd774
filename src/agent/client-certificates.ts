/**
 * The X.509-SVID as the client certificate of requests to Vault.
 */
import { withDeadline, type Task } from '../async/index.ts';
import { presentsX509 } from '../config/agent/index.ts';
import type { ClientCertificate } from '../contracts/index.ts';
import type { Clock } from '../core/index.ts';
import type { Login, Logins } from './logins.ts';
import type { IdentityPort, X509Files } from './ports.ts';

/** How long a resumed session waits for its certificate: it may be of use without one, while there is no SVID. */
const PATIENCE_MS = 10_000;

/** An X.509-SVID as a client certificate. */
export function certificateOf({ svid, key }: Pick<X509Files, 'svid' | 'key'>): ClientCertificate {
  return { certificatePem: svid, keyPem: key };
}

/** What {@link afterCertificates} needs. */
export interface CertificateParts {
  /** Undefined where the config has no Workload API. */
  readonly identity: Pick<IdentityPort, 'x509Svid'> | undefined;
  readonly logins: Logins<Pick<Login, 'name' | 'auth' | 'vault' | 'sessions'>>;
  readonly clock: Clock;
}

/**
 * A task that begins when the resumed sessions have their certificate: no login of this process presented it, and Vault may serve
 * no request without one. It begins without the certificate if there is no SVID within 10 s.
 */
export function afterCertificates(parts: CertificateParts, task: Task): Task {
  return async (signal) => {
    await presentAtResumed(parts, signal);
    await task(signal);
  };
}

async function presentAtResumed(
  { identity, logins, clock }: CertificateParts,
  signal: AbortSignal,
): Promise<void> {
  const resumed = [...logins.values()].filter(
    ({ auth, sessions }) => presentsX509(auth) && sessions.current !== undefined,
  );
  if (identity === undefined || resumed.length === 0) return;
  try {
    const options = { clock, ms: PATIENCE_MS, signal };
    const svid = await withDeadline(options, (inner) => identity.x509Svid(inner));
    for (const { vault } of resumed) vault.present(certificateOf(svid));
  } catch {
    signal.throwIfAborted(); // a failure of the identity is reported where it is followed
  }
}
