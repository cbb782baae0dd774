/**
 * A Vault in memory that keeps Vault's rules of tokens and leases on a test's clock. It knows at each moment
 * which credentials are good. A path that was not defined fails the test.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { ClientCertificate } from '../../src/contracts/index.ts';
import type { VaultPort } from '../../src/agent/index.ts';
import {
  dependencyKey,
  Secret,
  VouchsafeError,
  type Clock,
  type ErrorCode,
  type VaultDependency,
} from '../../src/core/index.ts';

type Answer = Awaited<ReturnType<VaultPort['fetch']>>;

/** What is at a path. */
export type ModelSecret =
  /** A new user name at each read, under a lease. */
  | {
      readonly kind: 'dynamic';
      readonly ttlMs: number;
      readonly maxTtlMs?: number;
      readonly renewable?: boolean;
    }
  /** Decided by the test, at each read. */
  | { readonly kind: 'answer'; readonly answer: () => Answer };

/** One request, as far as tests look at it. */
export interface ModelCall {
  readonly operation:
    'login' | 'fetch' | 'renewToken' | 'renewLease' | 'revokeToken' | 'revokeLease';
  /** Path of a read, id of a lease, or the token. */
  readonly subject: string;
  readonly atMs: number;
}

interface Token {
  readonly name: string;
  readonly maxAtMs: number;
  endsAtMs: number;
}

interface Lease {
  readonly id: string;
  readonly token: Token;
  readonly secret: Extract<ModelSecret, { kind: 'dynamic' }>;
  readonly maxAtMs: number;
  endsAtMs: number;
}

/** The model; a {@link VaultPort}. */
export class ModelVault implements VaultPort {
  readonly calls: ModelCall[] = [];
  /** The client certificates, in the order in which they were presented. */
  readonly presented: string[] = [];
  /** Life that logins grant; 0 never ends. */
  tokenTtlMs = 3_600_000;
  tokenMaxTtlMs = Infinity;
  tokenRenewable = true;
  /** Periodic tokens take no increment. */
  isPeriodic = false;
  tokenNumUses = 0;
  tokenType: 'service' | 'batch' = 'service';
  /** Asked before each call: an error fails it, a promise delays it. */
  intercept: (call: ModelCall) => VouchsafeError | Promise<VouchsafeError | undefined> | undefined =
    () => undefined;
  readonly #clock: Clock;
  readonly #secrets = new Map<string, ModelSecret>();
  readonly #tokens = new Map<string, Token>();
  readonly #leases = new Map<string, Lease>();
  readonly #unexpected: string[] = [];
  #issued = 0;

  constructor(clock: Clock, t: TestContext) {
    this.#clock = clock;
    t.after(() => assert.deepEqual(this.#unexpected, [], 'calls that the test did not expect'));
  }

  /** Puts something at a path. */
  define(path: string, secret: ModelSecret): void {
    this.#secrets.set(path, secret);
  }

  /** Puts a plain value at a path. */
  put(path: string, data: Readonly<Record<string, unknown>>): void {
    const answer = (): Answer => ({ data, validity: { kind: 'static' } });
    this.define(path, { kind: 'answer', answer });
  }

  /** Leaves nothing at a path; reads of it are answered as Vault answers those of a secret that does not exist. */
  remove(path: string): void {
    const absence = { details: { path, absent: true } };
    const answer = (): never => {
      throw new VouchsafeError('ERR_VAULT_NOT_FOUND', `there is no secret at ${path}`, absence);
    };
    this.define(path, { kind: 'answer', answer });
  }

  count(operation: ModelCall['operation'], subject?: string): number {
    return this.calls.filter(
      (call) => call.operation === operation && (subject === undefined || call.subject === subject),
    ).length;
  }

  /** Whether a user name still opens the door. */
  isGood(username: string): boolean {
    const lease = this.#leases.get(`lease-${username}`);
    return lease !== undefined && this.#isAlive(lease);
  }

  /** How many credentials are good at the moment. */
  get good(): number {
    return [...this.#leases.values()].filter((lease) => this.#isAlive(lease)).length;
  }

  /** How many tokens are good at the moment. */
  get liveTokens(): number {
    return [...this.#tokens.values()].filter(({ endsAtMs }) => endsAtMs > this.#now).length;
  }

  /** Ends every token behind the agent's back, and their leases with them. */
  revokeTokens(): void {
    this.#tokens.clear();
    this.#leases.clear();
  }

  /** Ends every lease behind the agent's back. */
  revokeLeases(): void {
    this.#leases.clear();
  }

  present({ certificatePem }: ClientCertificate): void {
    this.presented.push(certificatePem);
  }

  async login(): ReturnType<VaultPort['login']> {
    await this.#before('login', '');
    const name = `token-${++this.#issued}`;
    const lives = this.tokenTtlMs > 0;
    const token: Token = {
      name,
      maxAtMs: this.#now + this.tokenMaxTtlMs,
      endsAtMs: lives ? this.#now + Math.min(this.tokenTtlMs, this.tokenMaxTtlMs) : Infinity,
    };
    this.#tokens.set(name, token);
    return {
      token: new Secret(name),
      accessor: undefined,
      ttlMs: lives ? token.endsAtMs - this.#now : 0,
      renewable: this.tokenRenewable,
      type: this.tokenType,
      numUses: this.tokenNumUses,
    };
  }

  async fetch(secretToken: Secret<string>, dependency: VaultDependency): Promise<Answer> {
    await this.#before('fetch', dependency.path);
    const token = this.#token(secretToken);
    const secret = this.#secrets.get(dependency.path);
    if (secret === undefined) {
      this.#unexpected.push(dependencyKey(dependency));
      throw new Error('not defined');
    }
    if (secret.kind === 'answer') return secret.answer();
    const username = `user-${++this.#issued}`;
    const maxAtMs = this.#now + (secret.maxTtlMs ?? Infinity);
    const isBatch = this.tokenType === 'batch';
    // Vault cuts the leases of batch tokens to the rest of the token, in whole seconds, and does not renew them.
    const mostMs = isBatch ? Math.floor((token.endsAtMs - this.#now) / 1000) * 1000 : Infinity;
    const endsAtMs = Math.min(this.#now + Math.min(secret.ttlMs, mostMs), maxAtMs);
    const lease: Lease = { id: `lease-${username}`, token, secret, maxAtMs, endsAtMs };
    this.#leases.set(lease.id, lease);
    return {
      data: { username },
      validity: {
        kind: 'lease',
        leaseId: lease.id,
        durationMs: endsAtMs - this.#now,
        renewable: !isBatch && (secret.renewable ?? true),
      },
    };
  }

  async renewToken(
    secretToken: Secret<string>,
    _: AbortSignal,
    incrementMs?: number,
  ): ReturnType<VaultPort['renewToken']> {
    await this.#before('renewToken', secretToken.reveal());
    const token = this.#token(secretToken);
    const grantMs = this.isPeriodic ? this.tokenTtlMs : (incrementMs ?? this.tokenTtlMs);
    token.endsAtMs = Math.min(this.#now + grantMs, token.maxAtMs);
    return { ttlMs: token.endsAtMs - this.#now, renewable: this.tokenRenewable };
  }

  async renewLease(secretToken: Secret<string>, id: string): ReturnType<VaultPort['renewLease']> {
    await this.#before('renewLease', id);
    this.#token(secretToken);
    const lease = this.#leases.get(id);
    if (lease === undefined || !this.#isAlive(lease)) throw failure('ERR_VAULT_LEASE_GONE');
    lease.endsAtMs = Math.min(this.#now + lease.secret.ttlMs, lease.maxAtMs);
    return { durationMs: lease.endsAtMs - this.#now, renewable: true };
  }

  async revokeToken(secretToken: Secret<string>): Promise<void> {
    await this.#before('revokeToken', secretToken.reveal());
    const token = this.#token(secretToken);
    this.#tokens.delete(token.name);
    for (const lease of this.#leases.values()) {
      if (lease.token === token) this.#leases.delete(lease.id);
    }
  }

  async revokeLease(secretToken: Secret<string>, id: string): Promise<void> {
    await this.#before('revokeLease', id);
    this.#token(secretToken);
    this.#leases.delete(id);
  }

  get #now(): number {
    return this.#clock.monotonicMs();
  }

  #isAlive({ endsAtMs, token }: Lease): boolean {
    return endsAtMs > this.#now && token.endsAtMs > this.#now && this.#tokens.has(token.name);
  }

  #token(token: Secret<string>): Token {
    const found = this.#tokens.get(token.reveal());
    if (found === undefined || found.endsAtMs <= this.#now)
      throw failure('ERR_VAULT_TOKEN_INVALID');
    return found;
  }

  async #before(operation: ModelCall['operation'], subject: string): Promise<void> {
    const call = { operation, subject, atMs: this.#now };
    this.calls.push(call);
    const error = await this.intercept(call);
    if (error !== undefined) throw error;
  }
}

/** An error as an adapter would make it. */
export function failure(code: ErrorCode, retryAfterMs?: number): VouchsafeError {
  const message = `the test says ${code}`;
  return new VouchsafeError(code, message, retryAfterMs === undefined ? {} : { retryAfterMs });
}
