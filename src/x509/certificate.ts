/**
 * Creates and signs X.509 certificates. Only this file imports the ASN.1 library.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280 section 4
 */
import { createHash, randomBytes, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import * as x509 from '@peculiar/asn1-x509';

const COUNTRY = '2.5.4.6';
const ORGANIZATION = '2.5.4.10';
const COMMON_NAME = '2.5.4.3';
const ECDSA_WITH_SHA256 = new x509.AlgorithmIdentifier({ algorithm: '1.2.840.10045.4.3.2' });

/** Certificates are valid from a little in the past, as SPIRE's are, so that a slow clock accepts them. */
const BACKDATE_MS = 10_000;

/** Bits of the first octet of a key usage. */
export const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const;

/** Content of a certificate. */
export interface CertificateContent {
  readonly issuer: x509.Name;
  readonly subject: x509.Name;
  readonly publicKey: KeyObject;
  /** Start of validity, milliseconds since the epoch. */
  readonly nowMs: number;
  readonly ttlMs: number;
  readonly extensions: readonly x509.Extension[];
}

/** A certificate (DER) signed with ECDSA on P-256. */
export function signCertificate(content: CertificateContent, signingKey: KeyObject): Buffer {
  const tbsCertificate = new x509.TBSCertificate({
    version: x509.Version.v3,
    // The first octet keeps the number positive and in its shortest form.
    serialNumber: Uint8Array.of(0x40, ...randomBytes(15)).buffer,
    signature: ECDSA_WITH_SHA256,
    issuer: content.issuer,
    validity: new x509.Validity({
      notBefore: new Date(content.nowMs - BACKDATE_MS),
      notAfter: new Date(content.nowMs + content.ttlMs),
    }),
    subject: content.subject,
    subjectPublicKeyInfo: publicKeyInfo(content.publicKey),
    extensions: new x509.Extensions([...content.extensions]),
  });
  const signed = Buffer.from(AsnConvert.serialize(tbsCertificate));
  const certificate = new x509.Certificate({
    tbsCertificate,
    signatureAlgorithm: ECDSA_WITH_SHA256,
    signatureValue: new Uint8Array(sign('sha256', signed, signingKey)).buffer,
  });
  return Buffer.from(AsnConvert.serialize(certificate));
}

/** A certificate as PEM. */
export function certificatePem(der: Buffer): string {
  return new X509Certificate(der).toString();
}

/** The name `CN=commonName`; without one `C=US, O=organization`, as SPIRE writes it. */
export function subjectName(commonName: string | undefined, organization: string): x509.Name {
  if (commonName !== undefined) {
    return new x509.Name([attribute(COMMON_NAME, { utf8String: commonName })]);
  }
  return new x509.Name([
    attribute(COUNTRY, { printableString: 'US' }),
    attribute(ORGANIZATION, { printableString: organization }),
  ]);
}

/** Basic constraints: whether the certificate is a CA. Critical. */
export function basicConstraints(isCa: boolean): x509.Extension {
  return extension(x509.id_ce_basicConstraints, new x509.BasicConstraints({ cA: isCa }), true);
}

/** Key usage; `bits` is a sum of {@link KEY_USAGE}. */
export function keyUsage(bits: number, isCritical = true): x509.Extension {
  const unused = bits === 0 ? 0 : Math.log2(bits & -bits);
  return extension(x509.id_ce_keyUsage, new x509.KeyUsage(Uint8Array.of(bits), unused), isCritical);
}

/** Extended key usage of a TLS certificate. */
export function tlsPurposes(purposes: {
  readonly client: boolean;
  readonly server: boolean;
}): x509.Extension {
  const list = [
    ...(purposes.client ? [x509.id_kp_clientAuth] : []),
    ...(purposes.server ? [x509.id_kp_serverAuth] : []),
  ];
  return extension(x509.id_ce_extKeyUsage, new x509.ExtendedKeyUsage(list));
}

/** Identifies the key of the certificate itself. */
export function subjectKeyId(key: KeyObject): x509.Extension {
  return extension(x509.id_ce_subjectKeyIdentifier, new x509.SubjectKeyIdentifier(keyId(key)));
}

/** Identifies the key that signed the certificate. */
export function authorityKeyId(key: KeyObject): x509.Extension {
  const keyIdentifier = new x509.KeyIdentifier(keyId(key));
  return extension(
    x509.id_ce_authorityKeyIdentifier,
    new x509.AuthorityKeyIdentifier({ keyIdentifier }),
  );
}

/** Subject alternative names. */
export interface AlternativeNames {
  readonly dnsNames?: readonly string[];
  readonly uris?: readonly string[];
  readonly ips?: readonly string[];
}

/** The extension with these names; empty without names. Throws `TypeError` for invalid addresses. */
export function alternativeNames(names: AlternativeNames): x509.Extension[] {
  const list = [
    ...(names.dnsNames ?? []).map((dNSName) => ({ dNSName })),
    ...(names.uris ?? []).map((uniformResourceIdentifier) => ({ uniformResourceIdentifier })),
    ...(names.ips ?? []).map((ip) => ({ iPAddress: plainAddress(ip) })),
  ].map((name) => new x509.GeneralName(name));
  if (list.length === 0) return [];
  return [extension(x509.id_ce_subjectAltName, new x509.SubjectAlternativeName(list))];
}

function extension(extnID: string, value: object, critical = false): x509.Extension {
  const extnValue = new OctetString(AsnConvert.serialize(value));
  return new x509.Extension({ extnID, critical, extnValue });
}

function attribute(
  type: string,
  value: Partial<x509.AttributeValue>,
): x509.RelativeDistinguishedName {
  const pair = { type, value: new x509.AttributeValue(value) };
  return new x509.RelativeDistinguishedName([new x509.AttributeTypeAndValue(pair)]);
}

function publicKeyInfo(key: KeyObject): x509.SubjectPublicKeyInfo {
  return AsnConvert.parse(key.export({ format: 'der', type: 'spki' }), x509.SubjectPublicKeyInfo);
}

/** Method 1 of RFC 5280, section 4.2.1.2. */
function keyId(key: KeyObject): Buffer {
  const bits = new Uint8Array(publicKeyInfo(key).subjectPublicKey);
  return createHash('sha1').update(bits).digest();
}

/** The library reads only IPv6 addresses without a dotted end; `URL` normalises them so, and rejects zones. */
function plainAddress(ip: string): string {
  if (isIP(ip) === 0) throw new TypeError(`${ip} is not a valid IP address`);
  return isIP(ip) === 4 ? ip : new URL(`http://[${ip}]`).hostname.slice(1, -1);
}
