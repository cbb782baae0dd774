/**
 * Whom the API server would believe: chains, names and bundles. Pure.
 */
import { X509Certificate } from 'node:crypto';
import { certificateLife } from '../core/index.ts';

/** Longest chain that is followed, leaf and authority included. */
const MAX_CHAIN = 6;
/** A bundle is no archive: what was added last counts. */
const MAX_BUNDLE = 8;

/** A certificate as it stands in a bundle, and what it says. */
export interface BundleEntry {
  readonly pem: string;
  readonly x509: X509Certificate;
}

/** The certificates of a PEM text; what is none is left out. */
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
export function isValidAt(certificate: X509Certificate, nowMs: number): boolean {
  const { fromMs, toMs } = certificateLife(certificate);
  return fromMs <= nowMs && nowMs < toMs;
}

/**
 * The certificate of the bundle by which a client believes in a chain (leaf first) for a name at a time;
 * undefined where it does not.
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
 * The bundle in which everything that is wanted is trusted. `isExact` leaves nothing else in it; otherwise what
 * is there stays until it expires, because others may still serve with it. A bundle that will do stays as it is.
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
