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
  certificatePem,
  signAuthority,
  signLeaf,
  type KeyPair,
  type Subject,
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
  const keys = newKeys();
  const subject = subjectOf(`Vouchsafe webhook CA ${new Date(nowMs).toISOString()}`);
  const der = signAuthority({ subject, ...validity(nowMs, expiresAtMs) }, keys);
  return withKey(der, keys.privateKey);
}

/** Issues a certificate for a TLS server with a new key; it expires no later than its CA. */
export function issueCertificate(
  authority: CertificateAndKey,
  { dnsName, nowMs, expiresAtMs }: { dnsName: string; nowMs: number; expiresAtMs: number },
): CertificateAndKey {
  const ca = new X509Certificate(authority.certificatePem);
  const { publicKey, privateKey } = newKeys();
  const der = signLeaf(
    {
      subject: subjectOf('Vouchsafe webhook'),
      publicKey,
      ...validity(nowMs, Math.min(expiresAtMs, certificateLife(ca).toMs)),
      purposes: { client: false, server: true },
      names: { dnsNames: [dnsName] },
    },
    {
      subject: subjectOf(/^CN=(.*)$/m.exec(ca.subject)?.[1] ?? ''),
      publicKey: ca.publicKey,
      privateKey: createPrivateKey(authority.keyPem.reveal()),
    },
  );
  return withKey(der, privateKey);
}

function newKeys(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function subjectOf(commonName: string): Subject {
  return { commonName, organization: '' };
}

function validity(nowMs: number, expiresAtMs: number): { nowMs: number; ttlMs: number } {
  const beginMs = nowMs - BACKDATE_MS;
  return { nowMs: beginMs, ttlMs: expiresAtMs - beginMs };
}

function withKey(der: Buffer, key: KeyObject): CertificateAndKey {
  const keyPem = new Secret(key.export({ format: 'pem', type: 'pkcs8' }));
  return { certificatePem: certificatePem(der), keyPem };
}
