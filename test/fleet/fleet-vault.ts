/**
 * One Vault of a whole fleet: keeps the rules of tokens and leases, counts the requests of each second by kind,
 * and can be away or short of capacity. Leaner than `ModelVault`, which remembers every call.
 */
import type { VaultPort } from '../../src/agent/index.ts';
import {
  Secret,
  VouchsafeError,
  type Clock,
  type ErrorCode,
  type Random,
} from '../../src/core/index.ts';

/** What agents ask for; `lookup` is how a client distinguishes a dead token from a denial. */
export const KINDS = ['login', 'read', 'credential', 'renewal', 'revocation', 'lookup'] as const;
export type Kind = (typeof KINDS)[number];

/** Lives that this Vault grants, in milliseconds. */
export interface Lives {
  readonly tokenMs: number;
  readonly leaseMs: number;
  /** End of every renewal, for both. */
  readonly maxMs: number;
}

/** Where a path starts with this, each read makes a new credential. */
const DYNAMIC = 'database/creds/';

/** What one answer takes. */
const LATENCY_MS = { least: 2, spread: 6 } as const;

/** Share of the rejections of a brown-out that are 429 with `Retry-After: 1`; the others are 503. */
const THROTTLED_SHARE = 0.5;

interface Grant {
  readonly maxAtMs: number;
  endsAtMs: number;
}

interface Lease extends Grant {
  readonly token: string;
}

/** The model. */
export class FleetVault {
  /** Kind -> requests of each second, those that were rejected included. */
  readonly requests: Readonly<Record<Kind, number[]>> = {
    login: [],
    read: [],
    credential: [],
    renewal: [],
    revocation: [],
    lookup: [],
  };
  /** Connections are refused. */
  isDown = false;
  /** Requests that are answered in a second. */
  capacity = Infinity;
  /** What every KV secret holds. */
  version = 1;
  readonly #lives: Lives;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #tokens = new Map<string, Grant>();
  readonly #leases = new Map<string, Lease>();
  #issued = 0;
  #second = 0;
  #answered = 0;

  constructor(lives: Lives, clock: Clock, random: Random) {
    this.#lives = lives;
    this.#clock = clock;
    this.#random = random;
  }

  /** All requests of a second. */
  total(second: number): number {
    return KINDS.reduce((sum, kind) => sum + (this.requests[kind][second] ?? 0), 0);
  }

  /** How many requests of a kind there have been. */
  count(kind: Kind): number {
    return this.requests[kind].reduce((sum, count) => sum + count, 0);
  }

  /** Whether a user name still opens the door. */
  isGood(username: string): boolean {
    const lease = this.#leases.get(username);
    return (
      lease !== undefined && this.#isAlive(lease) && this.#isAlive(this.#tokens.get(lease.token))
    );
  }

  /** What agents talk to. */
  readonly port: VaultPort = {
    login: async (_request, signal) => {
      await this.#request('login', signal);
      const token = `token-${(this.#issued += 1)}`;
      this.#tokens.set(token, this.#grant(this.#lives.tokenMs));
      return {
        token: new Secret(token),
        accessor: undefined,
        ttlMs: this.#lives.tokenMs,
        renewable: true,
        type: 'service',
        numUses: 0,
      };
    },

    fetch: async (token, { path }, signal) => {
      const isDynamic = path.startsWith(DYNAMIC);
      await this.#request(isDynamic ? 'credential' : 'read', signal);
      await this.#checkToken(token, signal);
      if (!isDynamic) return { data: { version: this.version }, validity: { kind: 'static' } };
      const username = `user-${(this.#issued += 1)}`;
      const { leaseMs } = this.#lives;
      this.#leases.set(username, { ...this.#grant(leaseMs), token: token.reveal() });
      return {
        data: { username },
        validity: { kind: 'lease', leaseId: username, durationMs: leaseMs, renewable: true },
      };
    },

    renewToken: async (token, signal) => {
      await this.#request('renewal', signal);
      const grant = await this.#checkToken(token, signal);
      return { ttlMs: this.#renew(grant, this.#lives.tokenMs), renewable: true };
    },

    renewLease: async (token, id, _increment, signal) => {
      await this.#request('renewal', signal);
      await this.#checkToken(token, signal);
      const lease = this.#leases.get(id);
      if (lease === undefined || !this.isGood(id)) throw failure('ERR_VAULT_LEASE_GONE');
      return { durationMs: this.#renew(lease, this.#lives.leaseMs), renewable: true };
    },

    present: () => undefined,

    revokeToken: async (token, signal) => {
      await this.#request('revocation', signal);
      this.#tokens.delete(token.reveal());
    },

    revokeLease: async (_token, id, signal) => {
      await this.#request('revocation', signal);
      this.#leases.delete(id);
    },
  };

  #grant(ttlMs: number): Grant {
    const now = this.#clock.monotonicMs();
    return { endsAtMs: now + ttlMs, maxAtMs: now + this.#lives.maxMs };
  }

  #renew(grant: Grant, ttlMs: number): number {
    const now = this.#clock.monotonicMs();
    grant.endsAtMs = Math.min(now + ttlMs, grant.maxAtMs);
    return grant.endsAtMs - now;
  }

  #isAlive(grant: Grant | undefined): boolean {
    return grant !== undefined && grant.endsAtMs > this.#clock.monotonicMs();
  }

  async #checkToken(token: Secret<string>, signal: AbortSignal): Promise<Grant> {
    const grant = this.#tokens.get(token.reveal());
    if (grant !== undefined && this.#isAlive(grant)) return grant;
    await this.#request('lookup', signal);
    throw failure('ERR_VAULT_TOKEN_INVALID');
  }

  async #request(kind: Kind, signal: AbortSignal): Promise<void> {
    const second = Math.floor(this.#clock.monotonicMs() / 1000);
    const counts = this.requests[kind];
    while (counts.length <= second) counts.push(0);
    counts[second] = (counts[second] ?? 0) + 1;
    if (this.isDown) throw failure('ERR_VAULT_UNREACHABLE');
    if (this.#second !== second) this.#answered = 0;
    this.#second = second;
    this.#answered += 1;
    await this.#clock.sleep(LATENCY_MS.least + LATENCY_MS.spread * this.#random.next(), signal);
    if (this.#answered <= this.capacity) return;
    if (this.#random.next() >= THROTTLED_SHARE) throw failure('ERR_VAULT_SEALED');
    throw failure('ERR_VAULT_THROTTLED', 1000);
  }
}

function failure(code: ErrorCode, retryAfterMs?: number): VouchsafeError {
  const options = retryAfterMs === undefined ? {} : { retryAfterMs };
  return new VouchsafeError(code, 'the simulation says so', options);
}
