/**
 * Errors for messages that violate the specification.
 */
import { parseSpiffeId, spiffeIdProblem, VouchsafeError, type SpiffeId } from '../core/index.ts';

/** A mandatory field has its default value. */
export function missingField(message: string, field: string): VouchsafeError {
  return malformed(`the identity provider sent a ${message} without ${field}`);
}

/** The server's fault, retried later. The text must not quote the message. */
export function malformed(text: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError('ERR_SPIFFE_MALFORMED', text, { cause });
}

/** Parses a SPIFFE ID of a message; an invalid one is the server's fault, not the configuration's. */
export function parseServerSpiffeId(text: string, message: string): SpiffeId {
  if (text === '') throw missingField(message, 'spiffe_id');
  const problem = spiffeIdProblem(text);
  if (problem !== undefined) {
    throw malformed(
      `the identity provider sent a ${message} with an invalid spiffe_id: ${problem}`,
    );
  }
  return parseSpiffeId(text);
}
