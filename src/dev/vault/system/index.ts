/**
 * The backend at `sys/`.
 */
import type { VaultCore } from '../core/core.ts';
import type { Backend } from '../core/mounts.ts';
import type { Namespace } from '../core/namespace.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { addLeaseRoutes } from './lease-routes.ts';
import { addMountRoutes } from './mount-routes.ts';
import { addPolicyRoutes } from './policy-routes.ts';
import { addStatusRoutes } from './status-routes.ts';

/** Creates the system backend of one namespace. */
export function createSystemBackend(core: VaultCore, namespace: Namespace): Backend {
  const routes = new Routes();
  addStatusRoutes(routes, core);
  addMountRoutes(routes, core, namespace);
  addPolicyRoutes(routes, core, namespace);
  addLeaseRoutes(routes, core);
  routes.on(WRITE, 'wrapping/unwrap', (request) => {
    const { token } = request.body;
    const wrapped = typeof token === 'string' ? token : (request.token ?? '');
    return { data: {}, envelope: core.wrapping.unwrap(wrapped) };
  });
  return {
    // `internal/ui/mounts` checks the token itself; a wrapping token is not in the token store.
    open: ['health', 'leader', 'seal-status', 'unseal', 'internal/ui/mounts/*', 'wrapping/unwrap'],
    handle: (request) => routes.handle(request),
  };
}
