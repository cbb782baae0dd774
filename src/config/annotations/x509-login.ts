/**
 * Whether a pod logs in with its X.509-SVID.
 */
import type { Settings } from './annotations.ts';

/** The setting with which the X.509-SVID logs in; undefined if it does not. */
export function x509Login(
  settings: Pick<Settings, 'auth-method' | 'auth-svid'>,
): 'auth-method cert' | 'auth-svid x509' | undefined {
  const method = settings['auth-method'].value;
  if (method === 'cert') return 'auth-method cert';
  return method === 'spiffe' && settings['auth-svid'].value === 'x509'
    ? 'auth-svid x509'
    : undefined;
}
