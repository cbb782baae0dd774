/**
 * The `Retry-After` header.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */

/** Longest wait that a server can impose, in milliseconds: an invalid header must not stop an agent for a day. */
export const MAX_RETRY_AFTER_MS = 5 * 60_000;

/** Milliseconds to wait by a `Retry-After` of seconds or of an HTTP date; undefined if it is neither. */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  const waitMs = /^\d{1,10}$/.test(text) ? Number(text) * 1000 : dateOf(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), MAX_RETRY_AFTER_MS);
}

/** `Date.parse` by itself accepts `-5` or `1.5` as dates. */
function dateOf(text: string): number {
  return /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} /.test(text) ? Date.parse(text) : Number.NaN;
}
