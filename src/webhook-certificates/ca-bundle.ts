/**
 * CA bundles, and which chains the API server trusts by them. Pure.
 */
import { X509Certificate } from 'node:crypto';
import { certificateLife } from '../core/index.ts';

/** Longest chain that is followed, including leaf and CA. */
const MAX_CHAIN = 6;
/** Most CAs in a bundle; the ones added first are dropped. */
const MAX_BUNDLE = 8;

/** A certificate of a bundle, as text and parsed. */
export interface BundleEntry {
  readonly pem: string;
  readonly x509: X509Certificate;
}

/** The certificates of a PEM text; invalid ones are left out. */
export function readBundle(text: string): readonly BundleEntry[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [{ pem: `${block}\n`, x509: new X509Certificate(block) }];
    } catch {
      return [];
    }
  });
}

/** Certificates of a bundle as one PEM text. */
export function bundleText(entries: readonly BundleEntry[]): string {
  return entries.map(({ pem }) => pem).join('');
}

/** True between the two dates of a certificate. */
function isValidAt(certificate: X509Certificate, nowMs: number): boolean {
  const { fromMs, toMs } = certificateLife(certificate);
  return fromMs <= nowMs && nowMs < toMs;
}

/**
 * The CA of the bundle by which a client trusts a chain (leaf first) for a name at a time; undefined where it does not.
 */
export function trustAnchorOf(
  chainPem: string,
  bundlePem: string,
  { serverName, nowMs }: { readonly serverName: string | undefined; readonly nowMs: number },
): X509Certificate | undefined {
  const bundle = readBundle(bundlePem).map(({ x509 }) => x509);
  const chain = readBundle(chainPem).map(({ x509 }) => x509);
  const [leaf, ...others] = chain;
  if (leaf === undefined) return undefined;
  if (serverName !== undefined && leaf.checkHost(serverName) === undefined) return undefined;
  let link: X509Certificate | undefined = leaf;
  for (let length = 1; link !== undefined && length <= MAX_CHAIN; length += 1) {
    const current: X509Certificate = link;
    if (!isValidAt(current, nowMs)) return undefined;
    const anchor = bundle.find((one) => isSame(one, current) || hasIssued(one, current));
    if (anchor !== undefined) return isValidAt(anchor, nowMs) ? anchor : undefined;
    link = others.find((one) => hasIssued(one, current));
  }
  return undefined;
}

/**
 * A bundle with all `wanted` CAs. With `isExact` it has no others; otherwise those that are `present` stay until they
 * expire, because other replicas may still serve with them. A bundle that suffices is returned unchanged.
 */
export function mergeBundle(
  wanted: readonly BundleEntry[],
  present: string,
  { isExact, nowMs }: { readonly isExact: boolean; readonly nowMs: number },
): string {
  if (isExact) return bundleText(wanted);
  const there = readBundle(present);
  const isThere = ({ x509 }: BundleEntry): boolean => there.some((one) => isSame(one.x509, x509));
  if (wanted.every(isThere)) return present;
  const kept = there.filter(
    ({ x509 }) =>
      certificateLife(x509).toMs > nowMs && !wanted.some((one) => isSame(one.x509, x509)),
  );
  return bundleText([...wanted, ...kept].slice(0, MAX_BUNDLE));
}

/** True for the same certificate. */
export function isSame(a: X509Certificate, b: X509Certificate): boolean {
  return a.fingerprint256 === b.fingerprint256;
}

function hasIssued(authority: X509Certificate, certificate: X509Certificate): boolean {
  return (
    authority.ca && certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
  );
}
