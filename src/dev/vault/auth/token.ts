/**
 * The backend at `auth/token/`: creation, look-up, renewal and revocation of tokens.
 */
import type { VaultCore } from '../core/core.ts';
import { Fields, textMap } from '../core/fields.ts';
import {
  listedRefusal,
  Refusal,
  type Answer,
  type Json,
  type TokenGrant,
  type VaultRequest,
} from '../core/messages.ts';
import type { Backend } from '../core/mounts.ts';
import type { Namespace } from '../core/namespace.ts';
import { Routes, WRITE } from '../core/routes.ts';
import type { Token } from '../core/tokens.ts';
import { readTokenParameters } from './token-parameters.ts';

/** Makes the token backend of one namespace. */
export function createTokenBackend(core: VaultCore, namespace: Namespace): Backend {
  const { tokens } = core;
  const own = (request: VaultRequest): Token => core.authenticate(request);
  const named = (request: VaultRequest): Token | undefined =>
    tokens.get(new Fields(request.body).text('token') || (request.token ?? ''));
  const byAccessor = (request: VaultRequest): Token => {
    const token = tokens.findByAccessor(new Fields(request.body).text('accessor'));
    if (token === undefined) throw listedRefusal(400, 'invalid accessor');
    return token;
  };
  const lookup = (token: Token | undefined): Answer => {
    if (token === undefined) throw new Refusal(403, 'bad token');
    return { data: tokens.describe(token) };
  };
  const renew = (request: VaultRequest, token: Token | undefined): Answer => {
    if (token === undefined) throw new Refusal(400, 'token not found');
    const incrementMs = new Fields(request.body).duration('increment');
    const warnings = tokens.renew(token, incrementMs, request);
    return { warnings, envelope: { auth: tokens.describeAuth(token) } };
  };
  const revoke = (token: Token | undefined): Answer => {
    if (token?.grant.type === 'batch') throw new Refusal(400, 'batch tokens cannot be revoked');
    if (token !== undefined) tokens.revoke(token);
    return {};
  };

  const routes = new Routes()
    .on(WRITE, 'create', (request) => create(namespace, own(request), request, false))
    .on(WRITE, 'create-orphan', (request) => create(namespace, own(request), request, true))
    .on(['read', ...WRITE], 'lookup-self', (request) => lookup(own(request)))
    .on(['read', ...WRITE], 'lookup', (request) => lookup(named(request)))
    .on(WRITE, 'lookup-accessor', (request) => lookup(byAccessor(request)))
    .on(WRITE, 'renew-self', (request) => renew(request, own(request)))
    .on(WRITE, 'renew', (request) => renew(request, named(request)))
    .on(WRITE, 'renew-accessor', (request) => renew(request, byAccessor(request)))
    .on(WRITE, 'revoke-self', (request) => revoke(own(request)))
    .on(WRITE, 'revoke', (request) => revoke(named(request)))
    .on(WRITE, 'revoke-accessor', (request) => revoke(byAccessor(request)))
    .on('list', 'accessors', () => ({ data: { keys: tokens.accessors() } }));
  return { handle: (request) => routes.handle(request) };
}

function create(
  namespace: Namespace,
  parent: Token,
  request: VaultRequest,
  isOrphan: boolean,
): Answer {
  if (parent.grant.type === 'batch') {
    throw new Refusal(400, 'batch tokens cannot create more tokens');
  }
  const fields = new Fields(request.body);
  const isRoot = parent.policies.includes('root');
  const given = fields.list('policies');
  const policies = given.length === 0 ? parent.policies : given;
  if (!isRoot && policies.some((name) => name !== 'default' && !parent.policies.includes(name))) {
    throw new Refusal(400, 'child policies must be subset of parent');
  }
  const grant = {
    ...readGrant(request.body),
    policies,
    entityId: parent.grant.entityId,
    ...(isOrphan || fields.flag('no_parent') ? {} : { parent: parent.id }),
    ...(fields.has('id') && isRoot ? { id: fields.text('id') } : {}),
  };
  const unknown = given.filter((policy) => namespace.policyText(policy) === undefined);
  return { token: grant, warnings: unknown.map((policy) => `Policy "${policy}" does not exist`) };
}

function readGrant(body: Json): Omit<TokenGrant, 'policies' | 'entityId'> {
  const fields = new Fields(body);
  const { terms, numUses } = readTokenParameters(body);
  const name = fields.text('display_name');
  return {
    ...terms,
    numUses,
    type: fields.text('type') === 'batch' ? 'batch' : 'service',
    metadata: fields.has('meta') ? textMap(fields.object('meta')) : null,
    displayName: name === '' ? 'token' : `token-${name}`,
    renewable: !fields.has('renewable') || fields.flag('renewable'),
    noDefaultPolicy: fields.flag('no_default_policy'),
  };
}
