/**
 * Whether the installation's policies allow a request.
 */
import {
  denialsOf,
  dependencyLabel,
  VouchsafeError,
  type Dependency,
  type Grants,
} from '../core/index.ts';

/** The most denials that a message names. */
const MAX_NAMED = 3;

const OWN_IDENTITY: readonly Dependency['kind'][] = ['x509-svid', 'spiffe-id'];

/**
 * Throws `ERR_POLICY_DENIED` for a dependency that no grant allows. Called before any request: the response to one that
 * is not allowed could already reveal something.
 */
export function checkGrant(grants: Grants | undefined, dependency: Dependency): void {
  // Policies limit what Vault is asked for, and for whom a JWT-SVID is minted: an own X.509-SVID and its ID need none,
  // and the stream of the Workload API delivers them anyway.
  if (grants === undefined || OWN_IDENTITY.includes(dependency.kind)) return;
  const denials = denialsOf(grants, dependency);
  if (denials.length === 0 && grants.length > 0) return;
  const reasons = denials.slice(0, MAX_NAMED).map(({ message }) => message);
  const why = reasons.length === 0 ? 'no policy allows the login' : reasons.join('; ');
  throw new VouchsafeError('ERR_POLICY_DENIED', `${dependencyLabel(dependency)}: ${why}`);
}
