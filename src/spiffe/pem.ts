/**
 * X.509 identities as PEM.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7468
 */
import { Secret } from '../core/index.ts';
import type { X509Identity } from './identity.ts';

/** An X.509-SVID as PEM files for servers and TLS libraries. */
export interface X509Pem {
  /** Certificates, leaf first. */
  readonly svid: string;
  /** PKCS#8. */
  readonly key: Secret<string>;
  /** Authorities of the own trust domain. */
  readonly bundle: string;
}

/** Encodes an X.509 identity as PEM. */
export function x509Pem({ svid }: X509Identity): X509Pem {
  return {
    svid: svid.certificates.map((der) => toPem('CERTIFICATE', der)).join(''),
    key: new Secret(toPem('PRIVATE KEY', svid.privateKey.reveal())),
    bundle: svid.bundle.map((der) => toPem('CERTIFICATE', der)).join(''),
  };
}

/** One PEM block. */
export function toPem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
