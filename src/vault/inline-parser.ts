/**
 * Parses responses in this process, synchronously.
 */
import { parseResponse } from './response.ts';
import type { ResponseParser } from './types.ts';

/** For a process that reads only its own secrets. */
export const INLINE_PARSER: ResponseParser = {
  parse({ body, shape, nowMs }, signal) {
    if (signal.aborted) return Promise.reject(signal.reason as Error); // what `throwIfAborted` throws
    return Promise.resolve(parseResponse(body, shape, nowMs));
  },
};
