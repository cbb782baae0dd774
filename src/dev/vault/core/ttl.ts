/**
 * How long a token or a lease lasts: Vault's one calculation for issue and renewal.
 */
import { formatVaultDuration } from './fields.ts';
import { Refusal, type Terms } from './messages.ts';

/** The system's default and maximum: 768 hours. */
export const SYSTEM_TTL_MS = 768 * 3_600_000;

/** Further input of the calculation. Milliseconds. */
export interface TtlRequest {
  readonly terms: Terms;
  /** Requested by the client; 0: none. Only a hint. */
  readonly incrementMs: number;
  readonly mountDefaultMs: number;
  readonly mountMaxMs: number;
  readonly issuedAtMs: number;
  readonly nowMs: number;
}

/** The TTL from now, with Vault's warning if it is shorter than requested. */
export interface Ttl {
  readonly ttlMs: number;
  readonly warnings: readonly string[];
}

/**
 * Increment, else the backend's TTL, else the mount's default, cut at issue time plus the least maximum.
 * A period is limited only by an explicit maximum.
 *
 * @throws Refusal when the maximum has passed.
 * @see https://developer.hashicorp.com/vault/docs/concepts/tokens#token-time-to-live-periodic-tokens-and-explicit-max-ttls
 */
export function calculateTtl(request: TtlRequest): Ttl {
  const { terms } = request;
  // Whole seconds are the unit of all times to live; fractions would make 3600 s show as 3599.
  const [nowMs, issuedAtMs] = [wholeSeconds(request.nowMs), wholeSeconds(request.issuedAtMs)];
  const explicitMaxMs = terms.explicitMaxTtlMs ?? 0;
  const maxMs = Math.min(
    ...[request.mountMaxMs, terms.maxTtlMs, explicitMaxMs].filter((limit) => limit > 0),
  );
  const warnings: string[] = [];
  const periodMs = terms.periodMs ?? 0;
  let ttlMs: number;
  let horizonMs = Infinity;
  if (periodMs > 0) {
    ttlMs = Math.min(periodMs, maxMs);
    if (ttlMs < periodMs) warnings.push(capWarning('period', periodMs, maxMs));
    if (explicitMaxMs > 0) horizonMs = issuedAtMs + explicitMaxMs;
  } else {
    ttlMs = request.incrementMs || terms.ttlMs || request.mountDefaultMs;
    horizonMs = issuedAtMs + maxMs;
  }
  const leftMs = horizonMs - nowMs;
  if (leftMs <= 0) throw new Refusal(400, 'past the max TTL, cannot renew');
  if (ttlMs > leftMs) {
    warnings.push(capWarning('TTL', ttlMs, leftMs));
    ttlMs = leftMs;
  }
  return { ttlMs, warnings };
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

function capWarning(subject: 'TTL' | 'period', wishMs: number, maxMs: number): string {
  const [wish, max] = [formatVaultDuration(wishMs), formatVaultDuration(maxMs)];
  const value = subject === 'TTL' ? 'TTL value' : 'period value';
  return `${subject} of "${wish}" exceeded the effective max_ttl of "${max}"; ${value} is capped accordingly`;
}
