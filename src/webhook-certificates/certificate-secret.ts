/**
 * Reads the Secret with the webhook's own CA, and decides what to renew. Pure, except for new keys.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { certificateLife, Secret } from '../core/index.ts';
import { issueCertificate, createAuthority, type CertificateAndKey } from './issue.ts';
import { bundleText, isSame, readBundle, type BundleEntry } from './ca-bundle.ts';

/** Keys of the Secret; `tls.*` are those of type `kubernetes.io/tls`. */
export const KEYS = {
  caCertificate: 'ca.crt',
  caKey: 'ca.key',
  certificate: 'tls.crt',
  key: 'tls.key',
  /** Former CAs, trusted until they expire. */
  previous: 'ca-previous.crt',
} as const;

/** Lifetimes of certificates. */
export interface Lifetimes {
  readonly validityMs: number;
  /** How long before its expiry a certificate is replaced. */
  readonly renewBeforeMs: number;
}

/** Lifetime of a CA as a multiple of that of its certificates; `renewBefore` is multiplied, too. */
const AUTHORITY_LIVES = 4;
/** Most former CAs that stay trusted. */
const MAX_PREVIOUS = 4;

/** The content of the Secret; undefined parts are missing or invalid. */
export interface Stored {
  readonly authority: CertificateAndKey | undefined;
  readonly certificate: CertificateAndKey | undefined;
  readonly previous: readonly BundleEntry[];
}

/** What must be renewed, and why. */
export interface RenewalDecision {
  readonly renew: 'nothing' | 'certificate' | 'authority';
  readonly why: string;
}

/** Decoded values of the Secret, by key. */
export type SecretTexts = Readonly<Record<string, string>>;

/** Reads the Secret. A certificate that does not match its key is ignored. */
export function readStored(texts: SecretTexts): Stored {
  const authority = readPair(texts[KEYS.caCertificate], texts[KEYS.caKey]);
  // A CA without its key cannot sign any more, but certificates signed by it are still served.
  const keyless = authority === undefined ? (texts[KEYS.caCertificate] ?? '') : '';
  return {
    authority,
    certificate: readPair(texts[KEYS.certificate], texts[KEYS.key]),
    previous: readBundle(keyless + (texts[KEYS.previous] ?? '')).slice(0, MAX_PREVIOUS),
  };
}

/** The CAs that must be trusted while this is the content of the Secret, PEM. */
export function trustedAuthorities(texts: SecretTexts, nowMs: number): string {
  const own = readBundle(texts[KEYS.caCertificate] ?? '').slice(0, 1);
  return bundleText(unexpiredAuthorities([...own, ...readStored(texts).previous], nowMs));
}

/** Decides what has to be renewed now. */
export function decideRenewal(
  stored: Stored,
  { renewBeforeMs }: Lifetimes,
  { dnsName, nowMs }: { readonly dnsName: string; readonly nowMs: number },
): RenewalDecision {
  const { authority, certificate } = stored;
  if (authority === undefined)
    return { renew: 'authority', why: 'the CA or its key is missing or invalid' };
  const ca = new X509Certificate(authority.certificatePem);
  if (!ca.ca) return { renew: 'authority', why: 'the stored certificate is not a CA' };
  const caMs = renewBeforeMs * AUTHORITY_LIVES;
  if (isDue(ca, caMs, nowMs)) return { renew: 'authority', why: 'the CA expires soon' };
  if (certificate === undefined) {
    return { renew: 'certificate', why: 'the certificate or its key is missing or invalid' };
  }
  const leaf = new X509Certificate(certificate.certificatePem);
  if (!leaf.checkIssued(ca) || !leaf.verify(ca.publicKey)) {
    return { renew: 'certificate', why: 'the certificate was not issued by the CA' };
  }
  if (leaf.checkHost(dnsName) === undefined) {
    return { renew: 'certificate', why: 'the certificate is for another DNS name' };
  }
  if (isDue(leaf, renewBeforeMs, nowMs)) {
    return { renew: 'certificate', why: 'the certificate expires soon' };
  }
  return { renew: 'nothing', why: '' };
}

/**
 * The new content of the Secret. With a new CA the old ones stay trusted: those in the Secret, and `known` ones, by
 * which replicas may still serve after a loss of the Secret.
 */
export function renewedTexts(
  stored: Stored,
  renew: 'certificate' | 'authority',
  { validityMs }: Lifetimes,
  now: { readonly dnsName: string; readonly nowMs: number; readonly known: readonly BundleEntry[] },
): SecretTexts {
  const { dnsName, nowMs, known } = now;
  const kept = renew === 'certificate' ? stored.authority : undefined;
  const authority = kept ?? createAuthority(nowMs, nowMs + validityMs * AUTHORITY_LIVES);
  const before =
    kept === undefined
      ? [...readBundle(stored.authority?.certificatePem ?? ''), ...stored.previous, ...known]
      : stored.previous;
  const certificate = issueCertificate(authority, {
    dnsName,
    nowMs,
    expiresAtMs: nowMs + validityMs,
  });
  return {
    [KEYS.caCertificate]: authority.certificatePem,
    [KEYS.caKey]: authority.keyPem.reveal(),
    [KEYS.certificate]: certificate.certificatePem,
    [KEYS.key]: certificate.keyPem.reveal(),
    [KEYS.previous]: bundleText(unexpiredAuthorities(before, nowMs).slice(0, MAX_PREVIOUS)),
  };
}

/** Also true for a certificate that starts in the future: it was created by a wrong clock. */
function isDue(certificate: X509Certificate, beforeMs: number, nowMs: number): boolean {
  const { fromMs, toMs } = certificateLife(certificate);
  return nowMs < fromMs || toMs - nowMs <= beforeMs;
}

/** CAs that have not expired, without duplicates. */
function unexpiredAuthorities(
  entries: readonly BundleEntry[],
  nowMs: number,
): readonly BundleEntry[] {
  return entries.filter(
    ({ x509 }, index) =>
      x509.ca &&
      certificateLife(x509).toMs > nowMs &&
      entries.findIndex((other) => isSame(other.x509, x509)) === index,
  );
}

function readPair(certificatePem = '', keyPem = ''): CertificateAndKey | undefined {
  const [first] = readBundle(certificatePem);
  try {
    if (first?.x509.checkPrivateKey(createPrivateKey(keyPem)) !== true) return undefined;
    return { certificatePem: first.pem, keyPem: new Secret(keyPem) };
  } catch {
    return undefined; // Not a key. The cause is dropped, because it may quote the text.
  }
}
