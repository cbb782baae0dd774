/**
 * The certificate authorities that are trusted by default.
 */
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

/**
 * Trusts Node's bundled public authorities. In the image, Node uses OpenSSL's store, which is empty there: otherwise
 * every start would load them, for 8 ms and 2 MiB, although few Vaults have a certificate of a public authority.
 * Elsewhere Node trusts them by default, or what its user has configured.
 */
export function trustPublicAuthorities(): void {
  if (!process.execArgv.includes('--use-openssl-ca')) return;
  const extra = getCACertificates('extra'); // of NODE_EXTRA_CA_CERTS
  setDefaultCACertificates([...getCACertificates('bundled'), ...extra]);
}
