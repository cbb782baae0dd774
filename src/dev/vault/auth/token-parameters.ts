/**
 * The parameters of tokens that all roles share, under their current and their old names.
 */
import { BlockList, isIPv6 } from 'node:net';
import { Fields, seconds } from '../core/fields.ts';
import {
  Refusal,
  type Json,
  type Terms,
  type TokenGrant,
  type VaultRequest,
} from '../core/messages.ts';

/** The token parameters of a role. */
export interface TokenParameters {
  readonly terms: Terms;
  readonly policies: readonly string[];
  readonly noDefaultPolicy: boolean;
  readonly numUses: number;
  readonly type: 'service' | 'batch';
  readonly boundCidrs: readonly string[];
  /** The fields as a read of the role shows them. */
  readonly shown: Json;
}

/** Old name -> current name. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  ttl: 'token_ttl',
  max_ttl: 'token_max_ttl',
  period: 'token_period',
  explicit_max_ttl: 'token_explicit_max_ttl',
  policies: 'token_policies',
  num_uses: 'token_num_uses',
  bound_cidrs: 'token_bound_cidrs',
};

/** @throws Refusal 400 for times that contradict each other. */
export function readTokenParameters(body: Json): TokenParameters {
  const merged: Json = { ...body };
  for (const [old, name] of Object.entries(OLD_NAMES)) merged[name] ??= body[old];
  const fields = new Fields(merged);
  const terms = {
    ttlMs: fields.duration('token_ttl'),
    maxTtlMs: fields.duration('token_max_ttl'),
    periodMs: fields.duration('token_period'),
    explicitMaxTtlMs: fields.duration('token_explicit_max_ttl'),
  };
  if (terms.ttlMs > terms.maxTtlMs && terms.maxTtlMs > 0) {
    throw new Refusal(400, "'token_ttl' cannot be greater than 'token_max_ttl'");
  }
  const type = fields.text('token_type');
  const policies = fields.list('token_policies').map((name) => name.toLowerCase());
  const parameters = {
    terms,
    policies,
    noDefaultPolicy: fields.flag('token_no_default_policy'),
    numUses: fields.whole('token_num_uses'),
    type: type === 'batch' ? ('batch' as const) : ('service' as const),
    boundCidrs: fields.list('token_bound_cidrs'),
  };
  const shown: Json = {
    token_bound_cidrs: parameters.boundCidrs,
    token_explicit_max_ttl: seconds(terms.explicitMaxTtlMs),
    token_max_ttl: seconds(terms.maxTtlMs),
    token_no_default_policy: parameters.noDefaultPolicy,
    token_num_uses: parameters.numUses,
    token_period: seconds(terms.periodMs),
    token_policies: policies,
    token_ttl: seconds(terms.ttlMs),
    token_type: type === '' ? 'default' : type,
  };
  const old = Object.entries(OLD_NAMES).filter(([name]) => new Fields(body).has(name));
  for (const [name, today] of old) shown[name] = shown[today];
  return { ...parameters, shown };
}

/** Who logged in, and with which role. */
export interface LoginIdentity {
  readonly displayName: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly entityId: string;
  /** The role at the time of a renewal; may reject it. */
  readonly current: (request: VaultRequest) => TokenParameters;
}

/** The grant of a login: an orphan token on the terms of the role. */
export function loginGrant(parameters: TokenParameters, identity: LoginIdentity): TokenGrant {
  return {
    ...parameters.terms,
    policies: parameters.policies,
    metadata: identity.metadata,
    displayName: identity.displayName,
    type: parameters.type,
    renewable: true,
    numUses: parameters.numUses,
    noDefaultPolicy: parameters.noDefaultPolicy,
    entityId: identity.entityId,
    renewal: (request) => identity.current(request).terms,
  };
}

/** @throws Refusal 403 when the role is bound to other networks than the client's. */
export function checkAddress(parameters: TokenParameters, address: string): void {
  if (parameters.boundCidrs.length === 0) return;
  const allowed = new BlockList();
  for (const cidr of parameters.boundCidrs) {
    const [network = '', bits] = cidr.split('/');
    const family = isIPv6(network) ? 'ipv6' : 'ipv4';
    if (bits === undefined) allowed.addAddress(network, family);
    else allowed.addSubnet(network, Number(bits), family);
  }
  if (!allowed.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')) {
    throw new Refusal(403, 'permission denied');
  }
}
