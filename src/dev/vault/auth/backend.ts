/**
 * A login method: its configuration, its roles, and the login that grants a token on the terms of a role.
 */
import type { Clock } from '../../../core/index.ts';
import type { Backend } from '../core.ts';
import { Fields } from '../fields.ts';
import { VaultError, type TokenGrant, type VaultRequest } from '../messages.ts';
import { RoleStore } from '../role-store.ts';
import { Routes } from '../routes.ts';
import { checkCertificate } from './cert.ts';
import { checkJwt, checkServiceAccount } from './jwt.ts';
import type { Login } from './login.ts';
import { checkSvid } from './spiffe.ts';

/** How a method checks a login against a role. */
interface Method {
  /** Path of the roles. */
  readonly base: string;
  /** Rejects with a VaultError. */
  readonly check: (login: Login) => void | Promise<void>;
  /** Whether a login without a role may have any that fits. */
  readonly findsRole: boolean;
}

const METHODS = {
  'auth/jwt': { base: 'role', check: checkJwt, findsRole: false },
  'auth/kubernetes': { base: 'role', check: checkServiceAccount, findsRole: false },
  'auth/spiffe': { base: 'role', check: checkSvid, findsRole: true },
  'auth/cert': { base: 'certs', check: checkCertificate, findsRole: true },
} satisfies Readonly<Record<string, Method>>;

/** Creates a login method. */
export function createAuthBackend(type: keyof typeof METHODS, clock: Clock): Backend {
  const method: Method = METHODS[type];
  const routes = new Routes();
  const roles = new RoleStore(routes, method.base);
  let config = new Fields({});
  routes
    .on('update', 'config', ({ body }) => {
      config = new Fields(body);
      return {};
    })
    .open('update', 'login', async (request) => ({ token: grantOf(await login(request)) }));

  async function login(request: VaultRequest): Promise<Fields> {
    const fields = new Fields(request.body);
    const named = fields.text('role') || fields.text('name') || config.text('default_role');
    let rejection = new VaultError(400, 'missing role');
    const names = named === '' && method.findsRole ? roles.names() : [named];
    for (const name of names.filter((one) => one !== '')) {
      const role = roles.get(name);
      if (role === undefined) throw new VaultError(400, `role "${name}" could not be found`);
      try {
        await method.check({ request, config, role, clock });
        return role;
      } catch (error) {
        if (!(error instanceof VaultError)) throw error;
        rejection = error;
      }
    }
    throw rejection;
  }

  return { routes };
}

function grantOf(role: Fields): TokenGrant {
  return {
    policies: role.list('token_policies'),
    ttlMs: role.duration('token_ttl'),
    maxTtlMs: role.duration('token_max_ttl'),
  };
}
