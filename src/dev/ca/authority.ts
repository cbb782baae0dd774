/**
 * A small certificate authority (ECDSA P-256) for the development servers and the tests.
 * Not for any other use: keys are in memory, and nothing is revoked.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280 section 4
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
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
  type AlternativeNames,
  type Extension,
} from '../../x509/index.ts';

/** Content of a certificate. */
export interface CertificateRequest extends AlternativeNames {
  /** Common name. Default: the subject that SPIRE sets, `C=US, O=SPIRE`. */
  readonly commonName?: string;
  /** Start of validity, milliseconds since the epoch. */
  readonly nowMs: number;
  readonly ttlMs: number;
  /** Deliberate defects, for tests of the validation of certificates. */
  readonly defects?: CertificateDefects;
}

/** How a leaf violates the X.509-SVID specification. */
interface CertificateDefects {
  readonly isCa?: boolean;
  /** Replaces the bits of the key usage (first octet: 0x80 digitalSignature, 0x04 keyCertSign). */
  readonly keyUsage?: number;
  readonly keyUsageNotCritical?: boolean;
  readonly noServerAuth?: boolean;
}

/** A certificate with its key. */
export interface IssuedCertificate {
  readonly der: Buffer;
  /** PKCS#8. */
  readonly keyDer: Buffer;
  readonly certPem: string;
  readonly keyPem: string;
}

/** An authority with a self-signed certificate. */
export interface Authority {
  readonly caDer: Buffer;
  readonly caPem: string;
  /** Issues a certificate for servers and clients with a new key. */
  issue(request: CertificateRequest): IssuedCertificate;
}

export interface AuthorityOptions {
  /** Common name. Default: the subject that SPIRE sets, `C=US, O=SPIFFE`. */
  readonly commonName?: string;
  /** SPIFFE ID of a trust domain, which SPIRE puts into its authorities. */
  readonly uri?: string;
  readonly nowMs: number;
  readonly ttlMs: number;
}

/** Creates an authority with a new key. */
export function createAuthority({ commonName, uri, nowMs, ttlMs }: AuthorityOptions): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = subjectName(commonName, 'SPIFFE');
  const content = {
    issuer,
    subject: issuer,
    publicKey: keys.publicKey,
    nowMs,
    ttlMs,
    extensions: [
      basicConstraints(true),
      keyUsage(KEY_USAGE.keyCertSign + KEY_USAGE.cRLSign),
      subjectKeyId(keys.publicKey),
      ...alternativeNames({ uris: uri === undefined ? [] : [uri] }),
    ],
  };
  const caDer = signCertificate(content, keys.privateKey);
  return {
    caDer,
    caPem: certificatePem(caDer),
    issue(request) {
      const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const leafContent = {
        issuer,
        subject: subjectName(request.commonName, 'SPIRE'),
        publicKey: leaf.publicKey,
        nowMs: request.nowMs,
        ttlMs: request.ttlMs,
        extensions: leafExtensions(request, leaf.publicKey, keys.publicKey),
      };
      const der = signCertificate(leafContent, keys.privateKey);
      return {
        der,
        keyDer: leaf.privateKey.export({ format: 'der', type: 'pkcs8' }),
        certPem: certificatePem(der),
        keyPem: leaf.privateKey.export({ format: 'pem', type: 'pkcs8' }),
      };
    },
  };
}

function leafExtensions(request: CertificateRequest, own: KeyObject, ca: KeyObject): Extension[] {
  const { defects = {} } = request;
  return [
    keyUsage(defects.keyUsage ?? KEY_USAGE.digitalSignature, defects.keyUsageNotCritical !== true),
    tlsPurposes({ client: true, server: defects.noServerAuth !== true }),
    basicConstraints(defects.isCa === true),
    subjectKeyId(own),
    authorityKeyId(ca),
    ...alternativeNames(request),
  ];
}
