/**
 * Parses the body of a request as JSON, within bounds.
 */
import { jsonBoundsProblem, VouchsafeError } from '../core/index.ts';

/** The largest pod that etcd accepts has half as many parts. */
const BOUNDS = { parts: 65_536, depth: 128 };

/** @throws VouchsafeError `ERR_ADMISSION_TOO_LARGE` beyond the bounds, `ERR_ADMISSION_MALFORMED` for invalid JSON. */
export function parseReviewBody(body: Buffer): unknown {
  const text = body.toString('utf8');
  const problem = jsonBoundsProblem(text, BOUNDS);
  if (problem !== undefined) throw new VouchsafeError('ERR_ADMISSION_TOO_LARGE', problem);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new VouchsafeError('ERR_ADMISSION_MALFORMED', 'the body is not valid JSON', { cause });
  }
}
