/**
 * Names of the files with the bundles of federated trust domains, shared by admission, which denies files that would
 * conflict with them, and the engine. Each trust domain has its own file: a server that verifies a peer of one trust domain
 * must not trust the authorities of another.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md section 4
 */
import { spiffeIdProblem } from './spiffe-id.ts';

/** The path for a trust domain, beside the bundle of the own one: `bundle.pem` -> `bundle-partner.example.pem`. */
export function federatedBundlePath(bundlePath: string, trustDomain: string): string {
  const { stem, extension } = split(bundlePath);
  return `${stem}-${trustDomain}${extension}`;
}

/**
 * Whether a path, or one of its directories, may be that of a federated bundle. The trust domains are not known before
 * the workload runs, and may change, so every valid one is taken into account.
 */
export function mayBeFederatedBundle(bundlePath: string, path: string): boolean {
  const { stem, extension } = split(bundlePath);
  const depth = bundlePath.split('/').length;
  const candidate = path.split('/').slice(0, depth).join('/');
  if (!candidate.startsWith(`${stem}-`) || !candidate.endsWith(extension)) return false;
  const trustDomain = candidate.slice(stem.length + 1, candidate.length - extension.length);
  return spiffeIdProblem(`spiffe://${trustDomain}`) === undefined && !trustDomain.includes('/');
}

/** `tls/ca.crt` -> `tls/ca`, `.crt`. */
function split(path: string): { readonly stem: string; readonly extension: string } {
  const start = path.lastIndexOf('/') + 1;
  const dot = path.lastIndexOf('.');
  const end = dot > start ? dot : path.length;
  return { stem: path.slice(0, end), extension: path.slice(end) };
}
