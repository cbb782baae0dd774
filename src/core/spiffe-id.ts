/**
 * SPIFFE IDs.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md section 2
 */
import { VouchsafeError } from './errors.ts';

const MAX_ID_BYTES = 2048;
const MAX_TRUST_DOMAIN_BYTES = 255;
const TRUST_DOMAIN = /^[a-z0-9._-]+$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;

/** A valid SPIFFE ID. */
export interface SpiffeId {
  /** `spiffe://trust-domain/path` */
  readonly uri: string;
  /** `example.org` */
  readonly trustDomain: string;
  /** `/ns/default/sa/web`; empty for the ID of a trust domain. */
  readonly path: string;
}

/**
 * Parses a SPIFFE ID.
 *
 * @throws VouchsafeError `ERR_SPIFFE_ID` that names the broken rule.
 */
export function parseSpiffeId(text: string): SpiffeId {
  const problem = spiffeIdProblem(text);
  if (problem !== undefined) {
    throw new VouchsafeError(
      'ERR_SPIFFE_ID',
      `"${text.slice(0, 256)}" is not a valid SPIFFE ID: ${problem}`,
    );
  }
  const rest = text.slice('spiffe://'.length);
  const slash = rest.indexOf('/');
  return {
    uri: text,
    trustDomain: slash < 0 ? rest : rest.slice(0, slash),
    path: slash < 0 ? '' : rest.slice(slash),
  };
}

/** The rule that a text breaks as a SPIFFE ID, or undefined if it is valid. */
export function spiffeIdProblem(text: string): string | undefined {
  if (!text.startsWith('spiffe://')) return 'it must start with spiffe://';
  if (Buffer.byteLength(text) > MAX_ID_BYTES) return `it is longer than ${MAX_ID_BYTES} bytes`;
  const [domain = '', ...segments] = text.slice('spiffe://'.length).split('/');
  return (
    trustDomainProblem(domain) ??
    segments.map(segmentProblem).find((problem) => problem !== undefined)
  );
}

function trustDomainProblem(domain: string): string | undefined {
  if (domain === '') return 'the trust domain is missing';
  if (domain.length > MAX_TRUST_DOMAIN_BYTES) {
    return `the trust domain is longer than ${MAX_TRUST_DOMAIN_BYTES} bytes`;
  }
  return TRUST_DOMAIN.test(domain)
    ? undefined
    : 'the trust domain may contain only lower-case letters, digits, dots, dashes and underscores';
}

function segmentProblem(segment: string): string | undefined {
  if (segment === '') return 'the path must not have empty segments or a trailing slash';
  if (segment === '.' || segment === '..') return 'the path must not have dot segments';
  return SEGMENT.test(segment)
    ? undefined
    : 'a path segment may contain only letters, digits, dots, dashes and underscores';
}
