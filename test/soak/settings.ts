/** What the soak sets, and what follows from it: how long a recovery may take, how much may be asked of Vault. */

/** Short lives, so that ten minutes hold what a pod sees in months. Milliseconds. */
export const SETTINGS = {
  tokenTtlMs: 20_000,
  tokenMaxTtlMs: 60_000,
  leaseTtlMs: 10_000,
  leaseMaxTtlMs: 30_000,
  certificateTtlMs: 20_000,
  svidTtlMs: 20_000,
  refreshMs: 1000,
  revokeGraceMs: 2000,
  vaultTimeoutMs: 2000,
} as const;

/** A change is settled with others for 2 s at most; the rest is for a busy machine. */
export const FRESH_WITHIN_MS = SETTINGS.refreshMs + 2000 + 3000;

/** An agent renews at 0.6 to 0.7 of a lease: until then it does not notice that somebody has revoked it. */
export const LEASE_NOTICE_MS = SETTINGS.leaseTtlMs * 0.7;

/** A login waits for a fifth of the token's life at the most, and so does what is read with it; each may fail once more. */
const LOGIN_PATIENCE_MS = (4 * SETTINGS.tokenTtlMs) / 5;

/** Start of a process, notice of a machine that has other work. */
const SLACK_MS = 5000;

/**
 * How long after the end of a fault everything must be as it was. The waits of a start, of a write and of the
 * Workload API double from 0.5 s and are at least half of their step: after a failure of D none is longer than
 * 2 D + 1 s. Those of what is held are bounded by its life.
 */
export function recoveryBoundMs(faultMs: number, noticeMs: number): number {
  return noticeMs + 2 * faultMs + 1000 + SETTINGS.vaultTimeoutMs + LOGIN_PATIENCE_MS + SLACK_MS;
}

/** What is counted in Vault's audit log. */
export interface Requests {
  readonly logins: number;
  readonly credentials: number;
  readonly certificates: number;
  readonly reads: number;
}

/**
 * What a fault costs beyond what is due anyhow: `once` where something is lost and created again, `tries` where
 * Vault sees each try. What is left out costs nothing.
 */
export type Costs = Readonly<Partial<Record<keyof Requests, 'once' | 'tries'>>>;

/** A fault that has been, as far as the bounds need it. */
export interface PastFault {
  readonly costs: Costs;
  readonly lastedMs: number;
}

/**
 * The most requests of each kind. Without faults a token is replaced within 10 s of its end, a lease within 4 s
 * of its end or with its token (`goodLogins`), a certificate after 0.6 of its life, and each of the two KV
 * secrets is read once a second. Reads come at their own pace in most faults; a fault may add four, when an
 * agent starts or has a new token.
 */
export function mostRequests(
  elapsedMs: number,
  goodLogins: number,
  faults: readonly PastFault[],
): Requests {
  const steady = (everyMs: number): number => 1 + Math.ceil(elapsedMs / everyMs);
  const extra = (what: keyof Requests): number =>
    faults.reduce((sum, { costs, lastedMs }) => sum + costOf(costs[what], lastedMs), 0);
  return {
    logins: steady(SETTINGS.tokenMaxTtlMs - 10_000) + extra('logins'),
    credentials: steady(SETTINGS.leaseMaxTtlMs - 4000) + goodLogins + extra('credentials'),
    certificates: steady(SETTINGS.certificateTtlMs * 0.6) + extra('certificates'),
    reads: 2 * steady(SETTINGS.refreshMs) + 4 * faults.length,
  };
}

/**
 * Waits are a fifth of these short lives at the most, 2 to 4 s, and half of that at the least; only just before an
 * end are they shorter. One try a second and two more is what a fault can bring.
 */
function costOf(cost: 'once' | 'tries' | undefined, lastedMs: number): number {
  if (cost === 'tries') return 2 + Math.ceil(lastedMs / 1000);
  return cost === 'once' ? 1 : 0;
}

/** `12s`, for a document. */
export function inSeconds(ms: number): string {
  return `${ms / 1000}s`;
}
