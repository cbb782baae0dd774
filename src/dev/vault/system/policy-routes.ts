/**
 * `sys/policies/acl`, its older form `sys/policy`, and `sys/capabilities-self`.
 */
import { capabilitiesOn } from '../core/acl.ts';
import type { VaultCore } from '../core/core.ts';
import { Fields } from '../core/fields.ts';
import { NOTHING_FOUND, Refusal, type Answer, type VaultRequest } from '../core/messages.ts';
import type { Namespace } from '../core/namespace.ts';
import { WRITE, type Routes } from '../core/routes.ts';

/** Adds the routes for ACL policies. */
export function addPolicyRoutes(routes: Routes, core: VaultCore, namespace: Namespace): void {
  for (const base of ['policies/acl', 'policy']) {
    const legacy = base === 'policy';
    routes
      .on(legacy ? ['list', 'read'] : 'list', base, () => ({
        data: { keys: namespace.policyNames() },
      }))
      .on('read', `${base}/:name`, (_, { name = '' }) => read(namespace, name, legacy))
      .on(WRITE, `${base}/:name`, (request, { name = '' }) => {
        write(namespace, name.toLowerCase(), request);
        return {};
      })
      .on('delete', `${base}/:name`, (_, { name = '' }) => {
        if (name === 'default' || name === 'root') {
          throw new Refusal(400, `cannot delete ${name} policy`);
        }
        namespace.deletePolicy(name);
        return {};
      });
  }
  routes.on(WRITE, 'capabilities-self', (request) => capabilities(core, namespace, request));
}

function read(namespace: Namespace, name: string, legacy: boolean): Answer {
  const text = namespace.policyText(name);
  if (text === undefined) return NOTHING_FOUND;
  return legacy ? { data: { name, rules: text }, flat: true } : { data: { name, policy: text } };
}

function write(namespace: Namespace, name: string, request: VaultRequest): void {
  const given = new Fields(request.body);
  const text = given.text('policy') || given.text('rules');
  if (text === '') throw new Refusal(400, "'policy' parameter not supplied or empty");
  if (name === 'root') throw new Refusal(400, 'cannot update "root" policy');
  const source = /^[A-Za-z0-9+/=\s]+$/.test(text) ? Buffer.from(text, 'base64').toString() : text;
  namespace.setPolicy(name, source);
}

function capabilities(core: VaultCore, namespace: Namespace, request: VaultRequest): Answer {
  const given = new Fields(request.body);
  const { policies } = core.authenticate(request);
  const rules = namespace.rulesOf(policies);
  const data: Record<string, string[]> = {};
  for (const path of [...given.list('paths'), ...given.list('path')]) {
    const granted = policies.includes('root') ? ['root'] : [...capabilitiesOn(rules, path)].sort();
    data[path] = granted.length === 0 ? ['deny'] : granted;
    data['capabilities'] ??= data[path];
  }
  return { data, flat: true };
}
