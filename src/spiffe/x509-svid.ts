/**
 * X.509-SVIDs and bundles as the Workload API sends them: parsed and validated.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  certificateLife,
  parseSpiffeId,
  Secret,
  spiffeIdProblem,
  VouchsafeError,
  type SpiffeId,
} from '../core/index.ts';
import { BOOLEAN, readElements, readExtensions, single, type Extension } from './der.ts';
import { missingField, parseServerSpiffeId } from './malformed.ts';
import type { MESSAGES } from './proto/messages.ts';
import type { MessageValue } from './proto/codec.ts';

/** Most certificates in one chain or bundle. */
const MAX_CERTIFICATES = 1024;

const OID = { keyUsage: '551d0f', subjectAltName: '551d11', basicConstraints: '551d13' } as const;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
/** `[6]` of a GeneralName (RFC 5280, 4.2.1.6). */
const URI_NAME = 0x86;
/** Bits of the first octet of a key usage (RFC 5280, 4.2.1.3). */
const DIGITAL_SIGNATURE = 0x80;
const SIGNS_CERTIFICATES = 0x06;

/** An X.509-SVID with its key. */
export interface X509Svid {
  readonly spiffeId: SpiffeId;
  /** Distinguishes several identities; empty if the server sent none. */
  readonly hint: string;
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[];
  /** PKCS#8, DER. */
  readonly privateKey: Secret<Uint8Array>;
  /** Authorities of the own trust domain, DER. */
  readonly bundle: readonly Uint8Array[];
  /** Validity of the leaf, epoch. */
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
}

type Entry = MessageValue<typeof MESSAGES.X509SVID>;

/**
 * Checks one entry of an X509SVIDResponse.
 *
 * @throws VouchsafeError `ERR_SPIFFE_MALFORMED` for a mandatory field that is missing or unreadable,
 *   `ERR_SPIFFE_SVID_INVALID` for a certificate that is not an X.509-SVID, has expired, or does not match the key.
 */
export function parseX509Svid(entry: Entry, nowMs: number): X509Svid {
  const spiffeId = parseServerSpiffeId(entry.spiffeId, 'X509SVID');
  if (entry.x509Svid.length === 0) throw missingField('X509SVID', 'x509_svid');
  if (entry.x509SvidKey.length === 0) throw missingField('X509SVID', 'x509_svid_key');
  if (entry.bundle.length === 0) throw missingField('X509SVID', 'bundle');
  const certificates = parseCertificates(entry.x509Svid, `the chain of ${spiffeId.uri}`);
  const leaf = new X509Certificate(certificates[0] ?? new Uint8Array());
  const problem = certificateProblem(leaf, spiffeId, nowMs) ?? keyProblem(leaf, entry.x509SvidKey);
  if (problem !== undefined) {
    throw new VouchsafeError(
      'ERR_SPIFFE_SVID_INVALID',
      `the X.509-SVID of ${spiffeId.uri} cannot be used: ${problem}`,
    );
  }
  const { fromMs, toMs } = certificateLife(leaf);
  return {
    spiffeId,
    hint: entry.hint,
    certificates,
    privateKey: new Secret(entry.x509SvidKey),
    bundle: parseCertificates(entry.bundle, `the bundle of ${spiffeId.trustDomain}`),
    notBeforeMs: fromMs,
    expiresAtMs: toMs,
  };
}

/**
 * What is wrong with the certificate of a peer; undefined if it is a valid X.509-SVID of an allowed ID.
 * TLS verifies the chain.
 */
export function peerProblem(
  certificate: Uint8Array,
  isAllowed: (id: SpiffeId) => boolean,
  nowMs: number,
): string | undefined {
  try {
    const leaf = new X509Certificate(certificate);
    const [uri = ''] = uriNames(readExtensions(leaf.raw).get(OID.subjectAltName));
    if (spiffeIdProblem(uri) !== undefined) return 'its certificate has no SPIFFE ID';
    const id = parseSpiffeId(uri);
    const problem = leafProblem(leaf, id, nowMs);
    if (problem !== undefined) return `the X.509-SVID of ${uri} cannot be used: ${problem}`;
    return isAllowed(id) ? undefined : `${uri} is not a SPIFFE ID that is allowed there`;
  } catch {
    return 'its certificate cannot be read';
  }
}

/** Splits concatenated certificates. @throws VouchsafeError `ERR_SPIFFE_MALFORMED` */
export function parseCertificates(bytes: Uint8Array, what: string): readonly Uint8Array[] {
  try {
    const parts = readElements(bytes, MAX_CERTIFICATES).map((element) => element.whole);
    for (const part of parts) new X509Certificate(part); // throws unless it is a certificate
    return parts;
  } catch (error) {
    throw new VouchsafeError(
      'ERR_SPIFFE_MALFORMED',
      `the identity provider sent ${what}, which is not a list of DER certificates`,
      { cause: error },
    );
  }
}

/** What is wrong with a leaf; undefined if it is a valid X.509-SVID. */
function certificateProblem(
  leaf: X509Certificate,
  id: SpiffeId,
  nowMs: number,
): string | undefined {
  try {
    return leafProblem(leaf, id, nowMs);
  } catch {
    return 'its extensions cannot be read';
  }
}

function leafProblem(leaf: X509Certificate, id: SpiffeId, nowMs: number): string | undefined {
  const extensions = readExtensions(leaf.raw);
  const uris = uriNames(extensions.get(OID.subjectAltName));
  if (uris.length !== 1) return `it has ${uris.length} URI SANs instead of one`;
  if (spiffeIdProblem(uris[0] ?? '') !== undefined) return 'its URI SAN is not a valid SPIFFE ID';
  if (uris[0] !== id.uri) return 'its URI SAN is another SPIFFE ID';
  if (id.path === '') return 'its SPIFFE ID is the ID of a trust domain, not of a workload';
  if (isAuthority(extensions.get(OID.basicConstraints))) {
    return 'it is a CA certificate';
  }
  const { fromMs, toMs } = certificateLife(leaf);
  if (fromMs === Infinity) return 'its validity cannot be read';
  if (toMs <= nowMs) {
    return `it expired at ${new Date(toMs).toISOString()} by the clock of this node`;
  }
  return keyUsageProblem(extensions.get(OID.keyUsage)) ?? purposeProblem(leaf);
}

/** Node's `ca` does not suffice: it is false for cA=true without keyCertSign. */
function isAuthority(extension: Extension | undefined): boolean {
  if (extension === undefined) return false;
  const [cA] = readElements(single(extension.value).content, 2);
  return cA?.tag === BOOLEAN && cA.content[0] !== 0;
}

function keyUsageProblem(extension: Extension | undefined): string | undefined {
  if (extension?.isCritical !== true) return 'its key usage is missing or not critical';
  const bits = readElements(extension.value, 1)[0]?.content[1] ?? 0; // after the count of unused bits
  if ((bits & DIGITAL_SIGNATURE) === 0) return 'its key usage lacks digitalSignature';
  if ((bits & SIGNS_CERTIFICATES) !== 0) return 'its key may sign certificates or revocation lists';
  return undefined;
}

/** Node calls the extended key usage `keyUsage`. */
function purposeProblem(leaf: X509Certificate): string | undefined {
  // Typed as an array, but undefined without the extension.
  const purposes = leaf.keyUsage as readonly string[] | undefined;
  if (purposes === undefined) return undefined;
  const isBoth = purposes.includes(SERVER_AUTH) && purposes.includes(CLIENT_AUTH);
  return isBoth ? undefined : 'its extended key usage lacks serverAuth or clientAuth';
}

function keyProblem(leaf: X509Certificate, pkcs8: Uint8Array): string | undefined {
  try {
    const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
    return leaf.checkPrivateKey(key) ? undefined : 'its private key belongs to another certificate';
  } catch {
    return 'its private key is not PKCS#8'; // without the cause, which may quote the key
  }
}

function uriNames(extension: Extension | undefined): readonly string[] {
  if (extension === undefined) return [];
  return readElements(single(extension.value).content, MAX_CERTIFICATES)
    .filter((name) => name.tag === URI_NAME)
    .map((name) => Buffer.from(name.content).toString('latin1'));
}
