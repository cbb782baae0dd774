/**
 * The backend at `sys/`: status, mounts, policies and leases.
 */
import type { Clock } from '../../core/index.ts';
import { createAuthBackend } from './auth/backend.ts';
import type { Backend, VaultCore } from './core.ts';
import { createDatabaseBackend } from './engines/database.ts';
import { createKv1Backend, createKv2Backend } from './engines/kv.ts';
import { createPkiBackend } from './engines/pki.ts';
import type { DatabaseUsers } from './engines/users.ts';
import { Fields, seconds } from './fields.ts';
import { VaultError, type Answer, type Json, type VaultRequest } from './messages.ts';
import { Routes } from './routes.ts';

/** The version that the server claims to be. */
const VERSION = '1.21.0';

/** Creates the system backend. */
export function createSystemBackend(core: VaultCore, users: DatabaseUsers): Backend {
  const routes = new Routes()
    .open('read', 'health', () => ({ status: core.sealed ? 503 : 200, plain: health(core) }))
    .open('read', 'seal-status', () => ({ plain: health(core) }))
    // Every valid token may request it: the handler authenticates.
    .open('read', 'internal/ui/mounts/*path', (request, { path = '' }) =>
      preflight(core, request, path),
    )
    .on('update', 'policies/acl/:name', ({ body }, { name = '' }) => {
      core.policies.write(name, new Fields(body).text('policy'));
      return {};
    });
  for (const [base, prefix] of [
    ['mounts', ''],
    ['auth', 'auth/'],
  ] as const) {
    routes.on('update', `${base}/*path`, ({ body }, { path = '' }) => {
      const fields = new Fields(body);
      const [type, options] = [fields.text('type'), fields.object('options')];
      const backend = createBackend(`${prefix}${type}`, options, { clock: core.clock, users });
      core.mount({ path: `${prefix}${path}/`, type, options, ...backend });
      return {};
    });
  }
  core.leases.addRoutes(routes);
  return { routes };
}

/** @throws VaultError 400 for an unknown type. */
function createBackend(
  type: string,
  options: Json,
  { clock, users }: { readonly clock: Clock; readonly users: DatabaseUsers },
): Backend {
  switch (type) {
    case 'kv':
      return options['version'] === '2' ? createKv2Backend(clock) : createKv1Backend();
    case 'database':
      return createDatabaseBackend(clock, users);
    case 'pki':
      return createPkiBackend(clock);
    case 'auth/jwt':
    case 'auth/kubernetes':
    case 'auth/cert':
    case 'auth/spiffe':
      return createAuthBackend(type, clock);
    default:
      throw new VaultError(400, `plugin not found in the catalog: ${type}`);
  }
}

/** By this clients determine the version of KV. Requires a token with any capability below the mount. */
function preflight(core: VaultCore, request: VaultRequest, path: string): Answer {
  const { policies } = core.tokens.require(request.token);
  const mount = core.findMount(path);
  if (mount !== undefined && core.policies.reach(policies, mount.path)) {
    const { type, options } = mount;
    return { data: { path: mount.path, type, options } };
  }
  const text = `please ensure client's policies grant access to path "${path}/"`;
  throw new VaultError(403, `preflight capability check returned 403, ${text}`);
}

function health({ sealed, clock }: VaultCore): Json {
  return {
    initialized: true,
    sealed,
    standby: sealed,
    version: VERSION,
    server_time_utc: seconds(clock.now()),
    enterprise: false,
  };
}
