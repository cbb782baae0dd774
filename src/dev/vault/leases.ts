/**
 * The leases of secrets. Each belongs to the token it was read with.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/index.ts';
import { Fields, seconds } from './fields.ts';
import { VaultError, type Answer, type Json, type LeaseGrant } from './messages.ts';
import type { Routes } from './routes.ts';
import { calculateTtl } from './terms.ts';

/** A valid lease. Times are in milliseconds since the epoch. */
interface Lease {
  readonly id: string;
  readonly tokenId: string;
  readonly grant: LeaseGrant;
  readonly issuedAtMs: number;
  ttlMs: number;
  expiresAtMs: number;
}

/** Keeps the leases. */
export class LeaseStore {
  readonly #leases = new Map<string, Lease>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Creates the lease of what was read at a path; returns its fields of the response. */
  create(grant: LeaseGrant, path: string, tokenId: string): Json {
    const nowMs = this.#clock.now();
    const ttlMs = calculateTtl(grant, { issuedAtMs: nowMs, nowMs, incrementMs: 0 });
    const id = `${path}/${randomBytes(18).toString('base64url')}`;
    const lease = { id, tokenId, grant, issuedAtMs: nowMs, ttlMs, expiresAtMs: nowMs + ttlMs };
    this.#leases.set(id, lease);
    return describe(lease);
  }

  ids(): string[] {
    return [...this.#leases.keys()];
  }

  /** Ends the leases of a token. */
  revokeOf(tokenId: string): void {
    for (const lease of [...this.#leases.values()]) {
      if (lease.tokenId === tokenId) this.#end(lease);
    }
  }

  /** Ends the expired leases. */
  expire(): void {
    const nowMs = this.#clock.now();
    for (const lease of [...this.#leases.values()]) {
      if (lease.expiresAtMs <= nowMs) this.#end(lease);
    }
  }

  /** Adds the routes below `sys/`. */
  addRoutes(routes: Routes): void {
    routes
      .on('update', 'leases/renew', ({ body }) => this.#renew(new Fields(body)))
      .on('update', 'leases/lookup', ({ body }) => {
        const lease = this.#leases.get(new Fields(body).text('lease_id'));
        if (lease === undefined) throw new VaultError(400, 'invalid lease');
        const { id, expiresAtMs } = lease;
        return { data: { id, renewable: true, ttl: seconds(expiresAtMs - this.#clock.now()) } };
      })
      .on('update', 'leases/revoke', ({ body }) => {
        const lease = this.#leases.get(new Fields(body).text('lease_id'));
        if (lease !== undefined) this.#end(lease);
        return {};
      });
  }

  #renew(fields: Fields): Answer {
    const lease = this.#leases.get(fields.text('lease_id'));
    if (lease === undefined) throw new VaultError(400, 'lease not found');
    const nowMs = this.#clock.now();
    const { issuedAtMs, grant } = lease;
    const incrementMs = fields.duration('increment');
    lease.ttlMs = calculateTtl(grant.renew(), { issuedAtMs, nowMs, incrementMs });
    lease.expiresAtMs = nowMs + lease.ttlMs;
    return { envelope: describe(lease) };
  }

  #end(lease: Lease): void {
    this.#leases.delete(lease.id);
    lease.grant.revoke();
  }
}

function describe({ id, ttlMs }: Lease): Json {
  return { lease_id: id, renewable: true, lease_duration: seconds(ttlMs) };
}
