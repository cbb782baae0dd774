/**
 * The tokens: made by grants, ended by time, use, or revocation; a token's end ends its children.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';
import { formatInstant, seconds } from './fields.ts';
import { Refusal, type Json, type TokenGrant, type VaultRequest } from './messages.ts';
import { calculateTtl, SYSTEM_TTL_MS, type Ttl } from './ttl.ts';

/** Where a token was made, and the times to live that its mount sets. */
export interface TokenOrigin {
  readonly path: string;
  readonly namespace: string;
  readonly mountDefaultMs: number;
  readonly mountMaxMs: number;
}

/** A valid token. Instants are in milliseconds since the epoch. */
export interface Token {
  readonly id: string;
  /** Empty for a batch token. */
  readonly accessor: string;
  readonly grant: TokenGrant;
  readonly origin: TokenOrigin;
  readonly policies: readonly string[];
  readonly createdAtMs: number;
  readonly creationTtlMs: number;
  /** The result of the last calculation; the default of a renewal. */
  lastTtlMs: number;
  /** Undefined for one that never expires. */
  expiresAtMs: number | undefined;
  renewedAtMs: number | undefined;
  /** 0 for no limit. */
  usesLeft: number;
}

/** Keeps the tokens of all namespaces. */
export class TokenStore {
  readonly #tokens = new Map<string, Token>();
  readonly #clock: Clock;
  readonly #onEnd: (token: Token) => void;

  /** `onEnd` is called for each token that is no longer valid, children first. */
  constructor(clock: Clock, onEnd: (token: Token) => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** Creates the token of a grant. */
  create(grant: TokenGrant, origin: TokenOrigin): { token: Token; warnings: readonly string[] } {
    const nowMs = this.#clock.now();
    const isEternal = grant.policies.includes('root') && !grant.ttlMs && !grant.periodMs;
    const ttl: Ttl = isEternal
      ? { ttlMs: 0, warnings: [] }
      : calculateTtl({ ...limits(origin), terms: grant, incrementMs: 0, issuedAtMs: nowMs, nowMs });
    const batch = grant.type === 'batch';
    const token: Token = {
      id:
        grant.id ??
        `${batch ? 'hvb.' : 'hvs.'}${randomBytes(batch ? 60 : 24).toString('base64url')}`,
      accessor: batch ? '' : randomBytes(18).toString('base64url'),
      grant,
      origin,
      policies: withDefaultPolicy(grant),
      createdAtMs: nowMs,
      creationTtlMs: ttl.ttlMs,
      lastTtlMs: ttl.ttlMs,
      expiresAtMs: isEternal ? undefined : nowMs + ttl.ttlMs,
      renewedAtMs: undefined,
      usesLeft: grant.numUses,
    };
    this.#tokens.set(token.id, token);
    return { token, warnings: ttl.warnings };
  }

  get(id: string): Token | undefined {
    return this.#tokens.get(id);
  }

  findByAccessor(accessor: string): Token | undefined {
    return [...this.#tokens.values()].find((token) => token.accessor === accessor);
  }

  /** Accessors of all service tokens. */
  accessors(): string[] {
    return [...this.#tokens.values()].map((token) => token.accessor).filter((name) => name !== '');
  }

  /** @throws Refusal 400 for a token that cannot be renewed. */
  renew(token: Token, incrementMs: number, request: VaultRequest): readonly string[] {
    if (token.grant.type === 'batch') throw new Refusal(400, 'batch tokens cannot be renewed');
    if (!isRenewable(token)) throw new Refusal(400, 'lease is not renewable');
    const terms = token.grant.renewal?.(request) ?? { ...token.grant, ttlMs: token.lastTtlMs };
    const nowMs = this.#clock.now();
    const ttl = calculateTtl({
      ...limits(token.origin),
      terms: { ...terms, explicitMaxTtlMs: token.grant.explicitMaxTtlMs ?? 0 },
      incrementMs,
      issuedAtMs: token.createdAtMs,
      nowMs,
    });
    token.lastTtlMs = ttl.ttlMs;
    token.expiresAtMs = nowMs + ttl.ttlMs;
    token.renewedAtMs = nowMs;
    return ttl.warnings;
  }

  /** Ends a token with its children and their leases. */
  revoke(token: Token): void {
    if (!this.#tokens.delete(token.id)) return;
    for (const child of [...this.#tokens.values()]) {
      if (child.grant.parent === token.id) this.revoke(child);
    }
    this.#onEnd(token);
  }

  /** Ends the expired tokens. */
  expire(): void {
    const nowMs = this.#clock.now();
    for (const token of [...this.#tokens.values()]) {
      if (token.expiresAtMs !== undefined && token.expiresAtMs <= nowMs) this.revoke(token);
    }
  }

  /** Remaining TTL of a token in whole seconds; 0 if it never expires. */
  secondsLeft(token: Token): number {
    return token.expiresAtMs === undefined ? 0 : seconds(token.expiresAtMs - this.#clock.now());
  }

  /** The `data` of a lookup. */
  describe(token: Token): Json {
    const { grant } = token;
    return {
      accessor: token.accessor,
      creation_time: seconds(token.createdAtMs),
      creation_ttl: seconds(token.creationTtlMs),
      display_name: grant.displayName,
      entity_id: grant.entityId,
      expire_time: token.expiresAtMs === undefined ? null : formatInstant(token.expiresAtMs),
      explicit_max_ttl: seconds(grant.explicitMaxTtlMs ?? 0),
      id: token.id,
      issue_time: formatInstant(token.createdAtMs),
      ...(token.renewedAtMs === undefined
        ? {}
        : {
            last_renewal: formatInstant(token.renewedAtMs),
            last_renewal_time: seconds(token.renewedAtMs),
          }),
      meta: grant.metadata,
      num_uses: token.usesLeft,
      orphan: grant.parent === undefined,
      path: token.origin.path,
      ...(grant.periodMs ? { period: seconds(grant.periodMs) } : {}),
      policies: token.policies,
      renewable: isRenewable(token),
      ttl: this.secondsLeft(token),
      type: grant.type,
    };
  }

  /** The `auth` of a login, a creation or a renewal. */
  describeAuth(token: Token): Json {
    const { grant } = token;
    return {
      client_token: token.id,
      accessor: token.accessor,
      policies: token.policies,
      ...(token.policies.length === 0 ? {} : { token_policies: token.policies }),
      metadata: grant.metadata,
      lease_duration: seconds(token.lastTtlMs),
      renewable: isRenewable(token),
      entity_id: grant.entityId,
      token_type: grant.type,
      orphan: grant.parent === undefined,
      mfa_requirement: null,
      num_uses: token.usesLeft,
    };
  }
}

function isRenewable(token: Token): boolean {
  return token.grant.type === 'service' && token.grant.renewable && token.expiresAtMs !== undefined;
}

function limits(origin: TokenOrigin): { mountDefaultMs: number; mountMaxMs: number } {
  return {
    mountDefaultMs: origin.mountDefaultMs || SYSTEM_TTL_MS,
    mountMaxMs: origin.mountMaxMs || SYSTEM_TTL_MS,
  };
}

function withDefaultPolicy(grant: TokenGrant): string[] {
  const names = new Set(grant.policies.map((name) => name.toLowerCase()));
  if (!grant.noDefaultPolicy && !names.has('root')) names.add('default');
  return [...names].sort();
}
