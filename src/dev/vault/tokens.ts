/**
 * The tokens: created by logins, ended by time or revocation.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/index.ts';
import { Fields, seconds } from './fields.ts';
import { listedError, VaultError, type Answer, type Json, type TokenGrant } from './messages.ts';
import { Routes } from './routes.ts';
import { calculateTtl } from './terms.ts';

/** A valid token. Times are in milliseconds since the epoch. */
export interface Token {
  readonly id: string;
  readonly accessor: string;
  readonly grant: TokenGrant;
  readonly policies: readonly string[];
  readonly issuedAtMs: number;
  ttlMs: number;
  /** Infinity for the root token. */
  expiresAtMs: number;
}

/** Keeps the tokens. */
export class TokenStore {
  readonly #tokens = new Map<string, Token>();
  readonly #clock: Clock;
  readonly #onEnd: (token: Token) => void;

  /** `onEnd` is called for each token that is no longer valid. */
  constructor(clock: Clock, onEnd: (token: Token) => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  create(grant: TokenGrant): Token {
    const nowMs = this.#clock.now();
    const ttlMs = calculateTtl(grant, { issuedAtMs: nowMs, nowMs, incrementMs: 0 });
    return this.#add(grant, [...new Set(['default', ...grant.policies])].sort(), ttlMs);
  }

  /** Creates a token without expiry that may do everything. */
  createRoot(): Token {
    return this.#add({ policies: [], ttlMs: 0, maxTtlMs: 0 }, ['root'], Infinity);
  }

  get(id: string): Token | undefined {
    return this.#tokens.get(id);
  }

  /** @throws VaultError 403 for no token, or one that is not valid. */
  require(id: string | undefined): Token {
    if (id === undefined) throw new VaultError(403, 'permission denied');
    const token = this.#tokens.get(id);
    if (token === undefined) throw listedError(403, 'permission denied', 'invalid token');
    return token;
  }

  accessors(): string[] {
    return [...this.#tokens.values()].map(({ accessor }) => accessor);
  }

  /** Ends a token and its leases. */
  revoke(token: Token): void {
    if (this.#tokens.delete(token.id)) this.#onEnd(token);
  }

  /** Ends the expired tokens. */
  expire(): void {
    const nowMs = this.#clock.now();
    for (const token of [...this.#tokens.values()]) {
      if (token.expiresAtMs <= nowMs) this.revoke(token);
    }
  }

  /** The routes at `auth/token/`. */
  routes(): Routes {
    return new Routes()
      .on('read', 'lookup-self', ({ token }) => ({ data: this.#describe(this.require(token)) }))
      .on('update', 'renew-self', ({ token, body }) => this.#renew(this.require(token), body))
      .on('update', 'revoke-self', ({ token }) => {
        this.revoke(this.require(token));
        return {};
      })
      .on('update', 'revoke-accessor', ({ body }) => {
        const accessor = new Fields(body).text('accessor');
        const found = [...this.#tokens.values()].find((token) => token.accessor === accessor);
        if (found === undefined) throw listedError(400, 'invalid accessor');
        this.revoke(found);
        return {};
      });
  }

  /** The `auth` of a login or a renewal. */
  describeAuth(token: Token): Json {
    const { id, accessor, policies, ttlMs } = token;
    return {
      client_token: id,
      accessor,
      policies,
      token_policies: policies,
      metadata: null,
      lease_duration: seconds(ttlMs),
      renewable: true,
      entity_id: '',
      token_type: 'service',
      orphan: true,
      mfa_requirement: null,
      num_uses: 0,
    };
  }

  #add(grant: TokenGrant, policies: readonly string[], ttlMs: number): Token {
    const nowMs = this.#clock.now();
    const token = {
      id: `hvs.${randomBytes(24).toString('base64url')}`,
      accessor: randomBytes(18).toString('base64url'),
      grant,
      policies,
      issuedAtMs: nowMs,
      ttlMs,
      expiresAtMs: nowMs + ttlMs,
    };
    this.#tokens.set(token.id, token);
    return token;
  }

  #renew(token: Token, body: Json): Answer {
    if (token.expiresAtMs === Infinity) throw new VaultError(400, 'lease is not renewable');
    const incrementMs = new Fields(body).duration('increment');
    const nowMs = this.#clock.now();
    const { grant, issuedAtMs } = token;
    token.ttlMs = calculateTtl(grant, { issuedAtMs, nowMs, incrementMs });
    token.expiresAtMs = nowMs + token.ttlMs;
    return { envelope: { auth: this.describeAuth(token) } };
  }

  #describe({ id, accessor, policies, expiresAtMs }: Token): Json {
    const isEternal = expiresAtMs === Infinity;
    const ttl = isEternal ? 0 : seconds(expiresAtMs - this.#clock.now());
    return { id, accessor, policies, ttl, renewable: !isEternal, type: 'service', orphan: true };
  }
}
