/**
 * `sys/leases/...` and its older aliases.
 */
import type { VaultCore } from '../core/core.ts';
import { Fields, seconds } from '../core/fields.ts';
import { NOTHING_FOUND, Refusal, type Answer, type VaultRequest } from '../core/messages.ts';
import { WRITE, type Params, type Routes } from '../core/routes.ts';

/** Adds the routes for leases. */
export function addLeaseRoutes(routes: Routes, core: VaultCore): void {
  const renew = (request: VaultRequest, params: Params): Answer =>
    renewLease(core, request, params);
  const revoke = (request: VaultRequest, params: Params): Answer => {
    core.leases.revoke(leaseId(request, params));
    return {};
  };
  const revokePrefix = (_: VaultRequest, { prefix = '' }: Params): Answer => {
    for (const id of core.leases.ids(`${prefix}/`)) core.leases.revoke(id);
    return {};
  };
  for (const base of ['leases/', '']) {
    routes
      .on(WRITE, `${base}renew`, renew)
      .on(WRITE, `${base}renew/*id`, renew)
      .on(WRITE, `${base}revoke-prefix/*prefix`, revokePrefix)
      .on(WRITE, `${base}revoke-force/*prefix`, revokePrefix)
      .on(WRITE, `${base}revoke`, revoke)
      .on(WRITE, `${base}revoke/*id`, revoke);
  }
  routes
    .on(WRITE, 'leases/lookup', (request, params) => {
      const lease = core.leases.get(leaseId(request, params));
      if (lease === undefined) throw new Refusal(400, 'invalid lease');
      return { data: core.leases.describe(lease) };
    })
    .on('list', 'leases/lookup', () => listLeases(core, ''))
    .on('list', 'leases/lookup/*prefix', (_, { prefix = '' }) => listLeases(core, `${prefix}/`));
}

function renewLease(core: VaultCore, request: VaultRequest, params: Params): Answer {
  const incrementMs = new Fields(request.body).duration('increment');
  const { lease, warnings } = core.leases.renew(leaseId(request, params), incrementMs);
  return {
    warnings,
    envelope: {
      lease_id: lease.id,
      renewable: lease.grant.renewable,
      lease_duration: seconds(lease.ttlMs),
    },
  };
}

function leaseId(request: VaultRequest, params: Params): string {
  const id = new Fields(request.body).text('lease_id') || (params['id'] ?? '');
  if (id === '') throw new Refusal(400, 'lease_id must be specified');
  return id;
}

function listLeases(core: VaultCore, prefix: string): Answer {
  const names = core.leases.ids(prefix).map((id) => /^[^/]+\/?/.exec(id.slice(prefix.length))?.[0]);
  const keys = [...new Set(names.filter((name) => name !== undefined))].sort();
  return keys.length === 0 ? NOTHING_FOUND : { data: { keys } };
}
