/**
 * Creates the webhook's own CA and the certificates that it signs (ECDSA P-256).
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { certificateLife, Secret } from '../core/index.ts';
import {
  alternativeNames,
  authorityKeyId,
  basicConstraints,
  certificatePem,
  KEY_USAGE,
  keyUsage,
  signCertificate,
  subjectKeyId,
  subjectName,
  tlsPurposes,
} from '../x509/index.ts';

/** A certificate with its key, PEM. */
export interface CertificateAndKey {
  readonly certificatePem: string;
  readonly keyPem: Secret<string>;
}

/** Validity starts this long ago, because the clocks of the API servers may be behind. */
const BACKDATE_MS = 10 * 60_000;

/** Creates a CA with a new key. Its name contains the time, so that CAs can be distinguished. */
export function createAuthority(nowMs: number, expiresAtMs: number): CertificateAndKey {
  const { publicKey, privateKey } = newKeys();
  const name = subjectName(`Vouchsafe webhook CA ${new Date(nowMs).toISOString()}`, '');
  const der = signCertificate(
    {
      issuer: name,
      subject: name,
      publicKey,
      ...validity(nowMs, expiresAtMs),
      extensions: [
        basicConstraints(true),
        keyUsage(KEY_USAGE.keyCertSign + KEY_USAGE.cRLSign),
        subjectKeyId(publicKey),
      ],
    },
    privateKey,
  );
  return withKey(der, privateKey);
}

/** Issues a certificate for a TLS server with a new key; it expires no later than its CA. */
export function issueCertificate(
  authority: CertificateAndKey,
  { dnsName, nowMs, expiresAtMs }: { dnsName: string; nowMs: number; expiresAtMs: number },
): CertificateAndKey {
  const ca = new X509Certificate(authority.certificatePem);
  const { publicKey, privateKey } = newKeys();
  const der = signCertificate(
    {
      issuer: subjectName(/^CN=(.*)$/m.exec(ca.subject)?.[1] ?? '', ''),
      subject: subjectName('Vouchsafe webhook', ''),
      publicKey,
      ...validity(nowMs, Math.min(expiresAtMs, certificateLife(ca).toMs)),
      extensions: [
        keyUsage(KEY_USAGE.digitalSignature),
        tlsPurposes({ client: false, server: true }),
        basicConstraints(false),
        subjectKeyId(publicKey),
        authorityKeyId(ca.publicKey),
        ...alternativeNames({ dnsNames: [dnsName] }),
      ],
    },
    createPrivateKey(authority.keyPem.reveal()),
  );
  return withKey(der, privateKey);
}

function newKeys(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function validity(nowMs: number, expiresAtMs: number): { nowMs: number; ttlMs: number } {
  const beginMs = nowMs - BACKDATE_MS;
  return { nowMs: beginMs, ttlMs: expiresAtMs - beginMs };
}

function withKey(der: Buffer, key: KeyObject): CertificateAndKey {
  const keyPem = new Secret(key.export({ format: 'pem', type: 'pkcs8' }));
  return { certificatePem: certificatePem(der), keyPem };
}
