/**
 * `sys/mounts`, `sys/auth` and the lookup of a mount, by which clients determine the version of KV.
 */
import type { PolicyRule } from '../core/acl.ts';
import type { VaultCore } from '../core/core.ts';
import { Fields, seconds } from '../core/fields.ts';
import { Refusal, type Json, type VaultRequest } from '../core/messages.ts';
import { describeMount, effective, type Mount } from '../core/mounts.ts';
import type { Namespace } from '../core/namespace.ts';
import { WRITE, type Routes } from '../core/routes.ts';

/** Adds the routes for secrets engines and login methods. */
export function addMountRoutes(routes: Routes, core: VaultCore, namespace: Namespace): void {
  addTable(routes, core, namespace, { base: 'mounts', prefix: '' });
  addTable(routes, core, namespace, { base: 'auth', prefix: 'auth/' });
  routes.on('read', 'internal/ui/mounts/*path', (request, { path = '' }) => ({
    data: preflight(core, namespace, request, path),
    mountType: '',
  }));
}

interface Table {
  readonly base: string;
  readonly prefix: string;
}

function addTable(routes: Routes, core: VaultCore, namespace: Namespace, table: Table): void {
  const { base, prefix } = table;
  const { mounts } = namespace;
  const find = (path: string): Mount => {
    const mount = mounts.get(`${prefix}${path}/`);
    if (mount !== undefined) return mount;
    throw new Refusal(400, `No ${base === 'auth' ? 'auth' : 'secret'} engine at ${path}/`);
  };
  routes
    .on('read', base, () => ({ data: listMounts(namespace, prefix), flat: true }))
    .on('read', `${base}/*path/tune`, (_, { path = '' }) => ({
      data: describeTuning(find(path)),
      flat: true,
    }))
    .on(WRITE, `${base}/*path/tune`, (request, { path = '' }) => {
      tune(find(path), request.body);
      return {};
    })
    .on('read', `${base}/*path`, (_, { path = '' }) => ({
      data: describeMount(find(path)),
      flat: true,
    }))
    .on(WRITE, `${base}/*path`, (request, { path = '' }) => {
      mounts.enable(`${prefix}${path}/`, request.body);
      return {};
    })
    .on('delete', `${base}/*path`, (_, { path = '' }) => {
      for (const id of core.leases.ids(`${prefix}${path}/`)) core.leases.revoke(id);
      mounts.disable(`${prefix}${path}/`);
      return {};
    });
}

function listMounts(namespace: Namespace, prefix: string): Json {
  const shown = namespace.mounts
    .list()
    .filter((mount) => mount.path.startsWith('auth/') === (prefix !== ''));
  return Object.fromEntries(
    shown.map((mount) => [mount.path.slice(prefix.length), describeMount(mount)]),
  );
}

function describeTuning(mount: Mount): Json {
  return {
    default_lease_ttl: seconds(effective(mount.defaultTtlMs)),
    description: mount.description,
    force_no_cache: false,
    max_lease_ttl: seconds(effective(mount.maxTtlMs)),
    ...(mount.options === null ? {} : { options: mount.options }),
  };
}

function tune(mount: Mount, body: Json): void {
  const fields = new Fields(body);
  if (fields.has('default_lease_ttl')) mount.defaultTtlMs = fields.duration('default_lease_ttl');
  if (fields.has('max_lease_ttl')) mount.maxTtlMs = fields.duration('max_lease_ttl');
}

/** Requires a token with any capability below the mount; no policy has to list this path itself. */
function preflight(
  core: VaultCore,
  namespace: Namespace,
  request: VaultRequest,
  path: string,
): Json {
  const token = core.authenticate(request);
  const mount = namespace.mounts.find(path);
  const allowed =
    token.policies.includes('root') ||
    namespace.rulesOf(token.policies).some((rule) => touches(rule, mount?.path ?? `${path}/`));
  if (mount === undefined || !allowed) {
    throw new Refusal(
      403,
      `preflight capability check returned 403, please ensure client's policies grant access to path "${path}/"`,
    );
  }
  return { ...describeMount(mount, true), path: mount.path };
}

/** Whether a rule grants something below a mount: one of both paths starts with the other. */
function touches(rule: PolicyRule, mountPath: string): boolean {
  if (rule.capabilities.size === 0 || rule.capabilities.has('deny')) return false;
  const wanted = rule.path.replace(/\*$/, '').split('/');
  const given = mountPath.replace(/\/$/, '').split('/');
  return given.every((segment, index) => {
    const expected = wanted[index];
    if (expected === undefined || expected === '+' || expected === segment) return true;
    return index === wanted.length - 1 && rule.path.endsWith('*') && segment.startsWith(expected);
  });
}
