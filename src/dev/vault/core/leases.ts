/**
 * The leases of secrets. Each belongs to the token it was read with.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';
import { formatInstant, seconds } from './fields.ts';
import { Refusal, type Json, type LeaseGrant } from './messages.ts';
import { calculateTtl } from './ttl.ts';

/** The token of a lease, and the TTLs that its mount sets. Milliseconds. */
export interface LeaseOrigin {
  /** The path that was read. */
  readonly path: string;
  readonly tokenId: string;
  readonly mountDefaultMs: number;
  readonly mountMaxMs: number;
  /** End of a batch token: its leases never outlive it. */
  readonly notAfterMs: number | undefined;
}

/** A valid lease. Instants are in milliseconds since the epoch. */
export interface Lease {
  readonly id: string;
  readonly origin: LeaseOrigin;
  readonly grant: LeaseGrant;
  readonly issuedAtMs: number;
  /** The result of the last calculation. */
  ttlMs: number;
  expiresAtMs: number;
  renewedAtMs: number | undefined;
}

/** Keeps the leases of all namespaces. */
export class LeaseStore {
  readonly #leases = new Map<string, Lease>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Creates the lease of a grant. */
  create(grant: LeaseGrant, origin: LeaseOrigin): { lease: Lease; warnings: readonly string[] } {
    const nowMs = this.#clock.now();
    const ttl = calculateTtl({ ...origin, terms: grant, incrementMs: 0, issuedAtMs: nowMs, nowMs });
    const lease: Lease = {
      id: `${origin.path}/${randomBytes(18).toString('base64url')}`,
      origin,
      grant,
      issuedAtMs: nowMs,
      ...extent(origin, ttl.ttlMs, nowMs),
      renewedAtMs: undefined,
    };
    this.#leases.set(lease.id, lease);
    return { lease, warnings: ttl.warnings };
  }

  get(id: string): Lease | undefined {
    return this.#leases.get(id);
  }

  /** IDs that start with a prefix, all for an empty one. */
  ids(prefix = ''): string[] {
    return [...this.#leases.keys()].filter((id) => id.startsWith(prefix));
  }

  /** @throws Refusal 400 for a lease that is gone or cannot be renewed. */
  renew(id: string, incrementMs: number): { lease: Lease; warnings: readonly string[] } {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new Refusal(400, 'lease not found');
    if (!lease.grant.renewable) throw new Refusal(400, 'lease is not renewable');
    const nowMs = this.#clock.now();
    const ttl = calculateTtl({
      ...lease.origin,
      terms: lease.grant.renewal?.() ?? lease.grant,
      incrementMs,
      issuedAtMs: lease.issuedAtMs,
      nowMs,
    });
    Object.assign(lease, extent(lease.origin, ttl.ttlMs, nowMs), { renewedAtMs: nowMs });
    return { lease, warnings: ttl.warnings };
  }

  /** Ends a lease, if it exists. */
  revoke(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#leases.delete(id);
    lease.grant.revoke();
  }

  /** Ends the leases of a token. */
  revokeOf(tokenId: string): void {
    for (const lease of [...this.#leases.values()]) {
      if (lease.origin.tokenId === tokenId) this.revoke(lease.id);
    }
  }

  /** Ends the expired leases. */
  expire(): void {
    const nowMs = this.#clock.now();
    for (const lease of [...this.#leases.values()]) {
      if (lease.expiresAtMs <= nowMs) this.revoke(lease.id);
    }
  }

  /** Remaining TTL of a lease in whole seconds. */
  secondsLeft(lease: Lease): number {
    return seconds(lease.expiresAtMs - this.#clock.now());
  }

  /** The `data` of a lookup. */
  describe(lease: Lease): Json {
    return {
      expire_time: formatInstant(lease.expiresAtMs),
      id: lease.id,
      issue_time: formatInstant(lease.issuedAtMs),
      last_renewal: lease.renewedAtMs === undefined ? null : formatInstant(lease.renewedAtMs),
      renewable: lease.grant.renewable,
      ttl: this.secondsLeft(lease),
    };
  }
}

/** TTL and expiry; both limited by a batch token. */
function extent(
  origin: LeaseOrigin,
  ttlMs: number,
  nowMs: number,
): Pick<Lease, 'ttlMs' | 'expiresAtMs'> {
  const cutMs = Math.min(ttlMs, (origin.notAfterMs ?? Infinity) - nowMs);
  return { ttlMs: cutMs, expiresAtMs: nowMs + cutMs };
}
