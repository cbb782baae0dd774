/**
 * X.509 identities as PEM.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7468
 */
import { parseSpiffeId, Secret } from '../core/index.ts';
import type { X509Identity } from './identity.ts';

/** An X.509-SVID as PEM files for servers and TLS libraries. */
export interface X509Pem {
  /** Certificates, leaf first. */
  readonly svid: string;
  /** PKCS#8. */
  readonly key: Secret<string>;
  /** Authorities of the own trust domain. */
  readonly bundle: string;
  /** Authorities of each federated trust domain that has any, sorted by its name; never the own one. */
  readonly federated: readonly { readonly trustDomain: string; readonly pem: string }[];
}

/** Encodes an X.509 identity as PEM. */
export function x509Pem({ svid, federatedBundles }: X509Identity): X509Pem {
  const federated = [...federatedBundles].map(([id, bundle]) => ({
    trustDomain: parseSpiffeId(id).trustDomain,
    pem: certificatesPem(bundle),
  }));
  return {
    svid: certificatesPem(svid.certificates),
    key: new Secret(toPem('PRIVATE KEY', svid.privateKey.reveal())),
    bundle: certificatesPem(svid.bundle),
    federated: federated
      .filter(({ trustDomain, pem }) => pem !== '' && trustDomain !== svid.spiffeId.trustDomain)
      .sort((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1)),
  };
}

function certificatesPem(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => toPem('CERTIFICATE', der)).join('');
}

/** One PEM block. */
export function toPem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
