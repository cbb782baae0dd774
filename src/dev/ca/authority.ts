/**
 * A small certificate authority (ECDSA P-256) for the development servers and the tests. Ring: dev.
 * It must never sign anything outside of them: keys live in memory, nothing is revoked.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280 section 4
 */
import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { bitString, contextTag, der, integer, objectId, sequence, TAG, time, TRUE } from './der.ts';

const OID = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  country: '2.5.4.6',
  organization: '2.5.4.10',
  commonName: '2.5.4.3',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** Certificates begin a little in the past, as SPIRE's do, so that a slow clock accepts them. */
const BACKDATE_MS = 10_000;
const SIGNATURE_ALGORITHM = sequence(objectId(OID.ecdsaWithSha256));

/** What a certificate says. */
export interface CertificateRequest {
  /** Common name; without one the subject is the one that SPIRE gives: `C=US, O=SPIRE`. */
  readonly commonName?: string;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  /** Begin of validity, milliseconds since the epoch. */
  readonly nowMs: number;
  readonly ttlMs: number;
  /** Deliberate defects, for tests of those who check certificates. */
  readonly defects?: CertificateDefects;
}

/** Ways in which a leaf breaks the rules of X.509-SVIDs. */
export interface CertificateDefects {
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
  /** Issues a certificate for servers and clients with a fresh key. */
  issue(request: CertificateRequest): IssuedCertificate;
}

/** What {@link createAuthority} needs. */
export interface AuthorityOptions {
  /** Common name; without one the subject is the one that SPIRE gives: `C=US, O=SPIFFE`. */
  readonly commonName?: string;
  /** A trust domain's SPIFFE ID, as SPIRE puts it into its authorities. */
  readonly uri?: string;
  readonly nowMs: number;
  readonly ttlMs: number;
}

/** Makes an authority with a fresh key. */
export function createAuthority(options: AuthorityOptions): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = subjectName(options.commonName, 'SPIFFE');
  const caDer = certificate({
    issuer,
    subject: issuer,
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    nowMs: options.nowMs,
    ttlMs: options.ttlMs,
    extensions: [
      extension(OID.basicConstraints, sequence(TRUE), true),
      keyUsage(0x06, true), // keyCertSign, cRLSign
      extension(OID.subjectKeyId, der(TAG.octetString, keyId(keys.publicKey))),
      ...altNames({ uris: options.uri === undefined ? [] : [options.uri] }),
    ],
  });
  return {
    caDer,
    caPem: toPem('CERTIFICATE', caDer),
    issue(request) {
      const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const leafDer = certificate({
        issuer,
        subject: subjectName(request.commonName, 'SPIRE'),
        publicKey: leaf.publicKey,
        signingKey: keys.privateKey,
        nowMs: request.nowMs,
        ttlMs: request.ttlMs,
        extensions: leafExtensions(request, leaf.publicKey, keys.publicKey),
      });
      const keyDer = leaf.privateKey.export({ format: 'der', type: 'pkcs8' });
      return {
        der: leafDer,
        keyDer,
        certPem: toPem('CERTIFICATE', leafDer),
        keyPem: toPem('PRIVATE KEY', keyDer),
      };
    },
  };
}

interface Tbs {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject;
  readonly nowMs: number;
  readonly ttlMs: number;
  readonly extensions: readonly Buffer[];
}

function certificate(tbs: Tbs): Buffer {
  const body = sequence(
    der(contextTag(0, true), integer(Buffer.from([2]))), // version 3
    integer(randomBytes(16)),
    SIGNATURE_ALGORITHM,
    tbs.issuer,
    sequence(time(tbs.nowMs - BACKDATE_MS), time(tbs.nowMs + tbs.ttlMs)),
    tbs.subject,
    tbs.publicKey.export({ format: 'der', type: 'spki' }),
    der(contextTag(3, true), sequence(...tbs.extensions)),
  );
  return sequence(body, SIGNATURE_ALGORITHM, bitString(sign('sha256', body, tbs.signingKey)));
}

function leafExtensions(request: CertificateRequest, own: KeyObject, ca: KeyObject): Buffer[] {
  const { defects = {} } = request;
  const purposes = [OID.clientAuth, ...(defects.noServerAuth === true ? [] : [OID.serverAuth])];
  return [
    keyUsage(defects.keyUsage ?? 0x80, defects.keyUsageNotCritical !== true),
    extension(OID.extendedKeyUsage, sequence(...purposes.map(objectId))),
    extension(OID.basicConstraints, sequence(...(defects.isCa === true ? [TRUE] : [])), true),
    extension(OID.subjectKeyId, der(TAG.octetString, keyId(own))),
    extension(OID.authorityKeyId, sequence(der(contextTag(0, false), keyId(ca)))),
    ...altNames(request),
  ];
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? [TRUE] : [];
  return sequence(objectId(id), ...critical, der(TAG.octetString, value));
}

function keyUsage(bits: number, isCritical: boolean): Buffer {
  const unused = bits === 0 ? 0 : Math.log2(bits & -bits);
  return extension(OID.keyUsage, bitString(Buffer.from([bits]), unused), isCritical);
}

function altNames(names: Pick<CertificateRequest, 'uris' | 'dnsNames' | 'ips'>): Buffer[] {
  const list = [
    ...(names.dnsNames ?? []).map((name) => der(contextTag(2, false), Buffer.from(name))),
    ...(names.uris ?? []).map((uri) => der(contextTag(6, false), Buffer.from(uri))),
    ...(names.ips ?? []).map((ip) => der(contextTag(7, false), addressBytes(ip))),
  ];
  return list.length === 0 ? [] : [extension(OID.subjectAltName, sequence(...list))];
}

function subjectName(commonName: string | undefined, organization: string): Buffer {
  if (commonName !== undefined)
    return sequence(attribute(OID.commonName, TAG.utf8String, commonName));
  return sequence(
    attribute(OID.country, TAG.printableString, 'US'),
    attribute(OID.organization, TAG.printableString, organization),
  );
}

function attribute(id: string, tag: number, text: string): Buffer {
  return der(TAG.set, sequence(objectId(id), der(tag, Buffer.from(text))));
}

function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest();
}

function addressBytes(ip: string): Buffer {
  if (isIP(ip) === 4) return Buffer.from(ip.split('.').map(Number));
  if (ip === '::1') return Buffer.concat([Buffer.alloc(15), Buffer.from([1])]);
  throw new TypeError('certificates are for IPv4 addresses and ::1 alone');
}

function toPem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
