/**
 * Refusals of messages that break the specification.
 */
import { parseSpiffeId, spiffeIdProblem, VouchsafeError, type SpiffeId } from '../core/index.ts';

/** A mandatory field has its default value. */
export function missingField(message: string, field: string): VouchsafeError {
  return malformed(`the identity provider sent a ${message} without ${field}`);
}

/** The server's fault, to be tried again later. The text must not quote the message. */
export function malformed(text: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError('ERR_SPIFFE_MALFORMED', text, { cause });
}

/** Reads a SPIFFE ID of a message, where a bad one is the server's fault, not the configuration's. */
export function parseServerSpiffeId(text: string, message: string): SpiffeId {
  if (text === '') throw missingField(message, 'spiffe_id');
  const problem = spiffeIdProblem(text);
  if (problem !== undefined) {
    throw malformed(`the identity provider sent a ${message} whose spiffe_id is none: ${problem}`);
  }
  return parseSpiffeId(text);
}
