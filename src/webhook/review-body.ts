/**
 * The body of a request -> JSON, within bounds.
 */
import { jsonBoundsProblem, VouchsafeError } from '../core/index.ts';

/** A pod of the largest size that etcd takes has half of it. */
const BOUNDS = { parts: 65_536, depth: 128 };

/**
 * Parses a body.
 *
 * @throws VouchsafeError `ERR_ADMISSION_TOO_LARGE` for one that would take long, `ERR_ADMISSION_MALFORMED`.
 */
export function parseReviewBody(body: Buffer): unknown {
  const text = body.toString('utf8');
  const problem = jsonBoundsProblem(text, BOUNDS);
  if (problem !== undefined) throw new VouchsafeError('ERR_ADMISSION_TOO_LARGE', problem);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new VouchsafeError('ERR_ADMISSION_MALFORMED', 'the body is not JSON', { cause });
  }
}
