/**
 * Reads bodies of responses within bounds.
 */
import type { IncomingMessage } from 'node:http';
import { VouchsafeError } from '../core/index.ts';

/** Largest response that is read, in bytes. */
export const MAX_RESPONSE_BYTES = 8 * 2 ** 20;

/** How much of a response is kept in memory. */
export interface BodyBounds {
  /** Bytes after these are read and dropped. */
  readonly keptBytes: number;
  /** Called with the minimum length of the response before that much is kept. An error that it throws ends the request. */
  grow(bytes: number): void;
}

interface BodyOptions {
  readonly url: URL;
  readonly bodyBounds?: BodyBounds;
}

/**
 * Reads the body of a response of `url`. Leaving early closes the connection.
 *
 * @throws VouchsafeError `ERR_VAULT_MALFORMED` if it is too long or was cut off, and what `bodyBounds` throws.
 */
export async function readBody(
  response: IncomingMessage,
  { url: { origin }, bodyBounds }: BodyOptions,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const keptBytes = bodyBounds?.keptBytes ?? Infinity;
  let size = 0;
  const grow = (bytes: number): void => {
    if (bytes > MAX_RESPONSE_BYTES)
      throw malformed(origin, `is longer than ${MAX_RESPONSE_BYTES} bytes`);
    bodyBounds?.grow(Math.min(bytes, keptBytes));
  };
  try {
    // A response that announces itself as too long is not read at all.
    grow(Number(response.headers['content-length'] ?? 0));
    // Leaving the loop destroys the connection, so that nothing more is received.
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      const left = Math.max(0, keptBytes - size);
      size += chunk.byteLength;
      grow(size);
      if (left > 0) chunks.push(left < chunk.byteLength ? chunk.subarray(0, left) : chunk);
    }
  } catch (error) {
    response.destroy();
    if (error instanceof VouchsafeError) throw error;
    throw malformed(origin, 'was cut off', error);
  }
  return Buffer.concat(chunks);
}

function malformed(origin: string, what: string, cause?: unknown): VouchsafeError {
  const text = `the response from ${origin} ${what}; is that address Vault?`;
  return new VouchsafeError('ERR_VAULT_MALFORMED', text, { cause, details: { address: origin } });
}
