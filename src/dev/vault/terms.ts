/**
 * How long a token or a lease lasts: Vault's one calculation for issue and renewal.
 */
import { VaultError, type Terms } from './messages.ts';

/** The system's default and maximum: 768 hours. */
export const SYSTEM_TTL_MS = 768 * 3_600_000;

/**
 * TTL from now in milliseconds: the increment, else the TTL of the terms, else the default; limited by issue time plus maximum.
 *
 * @throws VaultError 400 when the maximum has passed.
 * @see https://developer.hashicorp.com/vault/docs/concepts/tokens
 */
export function calculateTtl(
  terms: Terms,
  times: { readonly issuedAtMs: number; readonly nowMs: number; readonly incrementMs: number },
): number {
  // Whole seconds are the unit of all TTLs; fractions would make 3600 s show as 3599.
  const [issuedAtMs, nowMs] = [wholeSeconds(times.issuedAtMs), wholeSeconds(times.nowMs)];
  const maxMs = Math.min(SYSTEM_TTL_MS, terms.maxTtlMs || SYSTEM_TTL_MS);
  const leftMs = issuedAtMs + maxMs - nowMs;
  if (leftMs <= 0) throw new VaultError(400, 'past the max TTL, cannot renew');
  return Math.min(times.incrementMs || terms.ttlMs || SYSTEM_TTL_MS, leftMs);
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}
