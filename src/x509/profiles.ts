/**
 * The two kinds of certificates of this project: a self-signed CA, and a TLS certificate that it signs.
 */
import type { KeyObject } from 'node:crypto';
import {
  alternativeNames,
  authorityKeyId,
  basicConstraints,
  KEY_USAGE,
  keyUsage,
  signCertificate,
  subjectKeyId,
  subjectName,
  tlsPurposes,
  type AlternativeNames,
} from './certificate.ts';

/** A key pair (ECDSA P-256). */
export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** A distinguished name: `CN=commonName`, or without one `C=US, O=organization`. */
export interface Subject {
  readonly commonName: string | undefined;
  readonly organization: string;
}

interface Content {
  readonly subject: Subject;
  /** Default none. */
  readonly names?: AlternativeNames;
  /** Start of validity, milliseconds since the epoch. */
  readonly nowMs: number;
  readonly ttlMs: number;
}

/** Who signs a certificate. */
export interface Issuer extends KeyPair {
  readonly subject: Subject;
}

/** Content of a TLS certificate. */
export interface LeafContent extends Content {
  readonly publicKey: KeyObject;
  readonly purposes: { readonly client: boolean; readonly server: boolean };
  /** Default only digitalSignature, as critical. */
  readonly usage?: { readonly bits?: number; readonly isCritical?: boolean };
  /** Default false. */
  readonly isCa?: boolean;
}

/** A self-signed CA certificate (DER). */
export function signAuthority(content: Content, keys: KeyPair): Buffer {
  const name = nameOf(content.subject);
  return signCertificate(
    {
      issuer: name,
      subject: name,
      publicKey: keys.publicKey,
      nowMs: content.nowMs,
      ttlMs: content.ttlMs,
      extensions: [
        basicConstraints(true),
        keyUsage(KEY_USAGE.keyCertSign + KEY_USAGE.cRLSign),
        subjectKeyId(keys.publicKey),
        ...alternativeNames(content.names ?? {}),
      ],
    },
    keys.privateKey,
  );
}

/** A TLS certificate (DER). */
export function signLeaf(content: LeafContent, issuer: Issuer): Buffer {
  const { publicKey, purposes, usage = {}, isCa = false, names = {} } = content;
  return signCertificate(
    {
      issuer: nameOf(issuer.subject),
      subject: nameOf(content.subject),
      publicKey,
      nowMs: content.nowMs,
      ttlMs: content.ttlMs,
      extensions: [
        keyUsage(usage.bits ?? KEY_USAGE.digitalSignature, usage.isCritical),
        tlsPurposes(purposes),
        basicConstraints(isCa),
        subjectKeyId(publicKey),
        authorityKeyId(issuer.publicKey),
        ...alternativeNames(names),
      ],
    },
    issuer.privateKey,
  );
}

function nameOf({ commonName, organization }: Subject): ReturnType<typeof subjectName> {
  return subjectName(commonName, organization);
}
