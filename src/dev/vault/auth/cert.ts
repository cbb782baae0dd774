/**
 * The login method by TLS client certificate.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/auth/cert
 */
import { X509Certificate } from 'node:crypto';
import { certificateLife } from '../../../core/index.ts';
import { matchesGlob } from '../fields.ts';
import { VaultError } from '../messages.ts';
import type { Login } from './login.ts';

/** Requires a valid certificate that the CA of the role signed, with one of its SPIFFE IDs. @throws VaultError 400 */
export function checkCertificate({ request, role, clock }: Login): void {
  const { certificate } = request;
  if (certificate === undefined) throw new VaultError(400, 'client certificate must be supplied');
  const authority = new X509Certificate(role.text('certificate'));
  const { fromMs, toMs } = certificateLife(certificate);
  const isValid = clock.now() >= fromMs && clock.now() <= toMs;
  const uris = (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length));
  const isAllowed = role
    .list('allowed_uri_sans')
    .some((pattern) => uris.some((uri) => matchesGlob(pattern, uri)));
  if (isValid && isAllowed && certificate.verify(authority.publicKey)) return;
  throw new VaultError(400, 'failed to match all constraints for this login certificate');
}
