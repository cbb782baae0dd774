/**
 * What lies in the Secret of the webhook's own authority, and what has to be done about it. Pure but for fresh
 * keys.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { certificateLife, Secret } from '../core/index.ts';
import { issueCertificate, createAuthority, type CertificateAndKey } from './issue.ts';
import { bundleText, isSame, readBundle, type BundleEntry } from './ca-bundle.ts';

/** Keys of the Secret; `tls.*` are those that every ingress and mesh knows. */
export const KEYS = {
  caCertificate: 'ca.crt',
  caKey: 'ca.key',
  certificate: 'tls.crt',
  key: 'tls.key',
  /** Authorities before the present one, trusted until they expire. */
  previous: 'ca-previous.crt',
} as const;

/** How long certificates live. */
export interface Lifetimes {
  readonly validityMs: number;
  /** How long before its end a certificate is replaced. */
  readonly renewBeforeMs: number;
}

/** An authority lives as long as this many of its certificates, and is replaced as early in its life as they are. */
const AUTHORITY_LIVES = 4;
/** Authorities that stay trusted beside the present one. */
const MAX_PREVIOUS = 4;

/** The content of the Secret, each part as far as it is usable. */
export interface Stored {
  readonly authority: CertificateAndKey | undefined;
  readonly certificate: CertificateAndKey | undefined;
  readonly previous: readonly BundleEntry[];
}

/** What must be made anew, and why. */
export interface RenewalDecision {
  readonly renew: 'nothing' | 'certificate' | 'authority';
  readonly why: string;
}

/** Texts by key, as they lie in the Secret after base64. */
export type SecretTexts = Readonly<Record<string, string>>;

/** Reads the Secret. A certificate whose key is another's is none. */
export function readStored(texts: SecretTexts): Stored {
  const authority = readPair(texts[KEYS.caCertificate], texts[KEYS.caKey]);
  // An authority without its key signs no more, but what it signed is still served.
  const keyless = authority === undefined ? (texts[KEYS.caCertificate] ?? '') : '';
  return {
    authority,
    certificate: readPair(texts[KEYS.certificate], texts[KEYS.key]),
    previous: readBundle(keyless + (texts[KEYS.previous] ?? '')).slice(0, MAX_PREVIOUS),
  };
}

/** Everything that must be trusted while this is in the Secret. */
export function trustedAuthorities(texts: SecretTexts, nowMs: number): string {
  const own = readBundle(texts[KEYS.caCertificate] ?? '').slice(0, 1);
  return bundleText(unexpiredAuthorities([...own, ...readStored(texts).previous], nowMs));
}

/** What has to be done now. */
export function decideRenewal(
  stored: Stored,
  { renewBeforeMs }: Lifetimes,
  { dnsName, nowMs }: { readonly dnsName: string; readonly nowMs: number },
): RenewalDecision {
  const { authority, certificate } = stored;
  if (authority === undefined) return { renew: 'authority', why: 'there is no usable authority' };
  const ca = new X509Certificate(authority.certificatePem);
  if (!ca.ca) return { renew: 'authority', why: 'the authority is none' };
  const caMs = renewBeforeMs * AUTHORITY_LIVES;
  if (isDue(ca, caMs, nowMs)) return { renew: 'authority', why: 'the authority is near its end' };
  if (certificate === undefined) {
    return { renew: 'certificate', why: 'there is no usable certificate' };
  }
  const leaf = new X509Certificate(certificate.certificatePem);
  if (!leaf.checkIssued(ca) || !leaf.verify(ca.publicKey)) {
    return { renew: 'certificate', why: 'the certificate is of another authority' };
  }
  if (leaf.checkHost(dnsName) === undefined) {
    return { renew: 'certificate', why: 'the certificate is for another name' };
  }
  if (isDue(leaf, renewBeforeMs, nowMs)) {
    return { renew: 'certificate', why: 'the certificate is near its end' };
  }
  return { renew: 'nothing', why: '' };
}

/**
 * The texts that replace those in the Secret. A new authority leaves the old ones trusted: those in the Secret,
 * and `known` ones, by which a replica may still serve although the Secret was lost.
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

/** A certificate that begins in the future was made by a clock that was wrong. */
function isDue(certificate: X509Certificate, beforeMs: number, nowMs: number): boolean {
  const { fromMs, toMs } = certificateLife(certificate);
  return nowMs < fromMs || toMs - nowMs <= beforeMs;
}

/** Authorities that can still vouch for somebody, each once. */
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
    return undefined; // No key; the cause is dropped, for it may quote what stands there.
  }
}
