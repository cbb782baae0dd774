/**
 * The authorities that are trusted where nothing says which.
 */
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

/**
 * Trusts the public authorities that Node brings along. The image's Node is told to trust OpenSSL's store, which is
 * empty there: else it would load them at every start, for 8 ms and 2 MiB, where hardly a Vault has a certificate of
 * theirs. Elsewhere Node trusts them by itself, or what its user has told it.
 */
export function trustPublicAuthorities(): void {
  if (!process.execArgv.includes('--use-openssl-ca')) return;
  const given = getCACertificates('extra'); // by NODE_EXTRA_CA_CERTS
  setDefaultCACertificates([...getCACertificates('bundled'), ...given]);
}
