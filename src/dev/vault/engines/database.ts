/**
 * A database engine without databases: dynamic users with leases, static ones with rotated passwords.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/databases
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';
import type { Backend } from '../core.ts';
import { seconds, type Fields } from '../fields.ts';
import { listedError, VaultError, type Answer, type Terms } from '../messages.ts';
import { RoleStore } from '../role-store.ts';
import { Routes } from '../routes.ts';
import type { DatabaseUsers } from './users.ts';

/** A user whose password is rotated after each period. */
interface StaticRole {
  readonly username: string;
  readonly periodMs: number;
  password: string;
  rotatedAtMs: number;
}

/** Creates a database engine with its users in `users`. */
export function createDatabaseBackend(clock: Clock, users: DatabaseUsers): Backend {
  const routes = new Routes();
  const statics = new Map<string, StaticRole>();
  const roles = new RoleStore(routes, 'roles');
  // Stored and not used: there is no database.
  new RoleStore(routes, 'config');
  new RoleStore(routes, 'static-roles', (name, role) => {
    const username = role.text('username');
    const password = statics.get(name)?.password ?? users.setPassword(username, 'rotated');
    const periodMs = role.duration('rotation_period');
    statics.set(name, { username, periodMs, password, rotatedAtMs: clock.now() });
  });
  routes
    .on('read', 'creds/:name', (_, { name = '' }) => issue(name))
    .on('read', 'static-creds/:name', (_, { name = '' }) => {
      const role = statics.get(name);
      if (role === undefined) throw new VaultError(400, `unknown role: ${name}`);
      return { data: describe(role, clock.now()) };
    });

  function issue(name: string): Answer {
    const role = roles.get(name);
    if (role === undefined) throw new VaultError(400, `unknown role: ${name}`);
    const random = randomBytes(10).toString('hex');
    const username = `v-dev-${name.slice(0, 8)}-${random}-${seconds(clock.now())}`;
    const revoke = (): void => users.revoke(username);
    return {
      data: { password: users.setPassword(username, 'created'), username },
      lease: { ...termsOf(role), revoke, renew: () => renew(name, username) },
    };
  }

  function renew(name: string, username: string): Terms {
    const role = roles.get(name);
    if (role === undefined) {
      const text = `error during renew: could not find role with name: "${name}"`;
      throw listedError(500, `failed to renew entry: ${text}`);
    }
    users.record('renewed', username);
    return termsOf(role);
  }

  function tick(): void {
    for (const role of statics.values()) {
      const periods = Math.floor((clock.now() - role.rotatedAtMs) / role.periodMs);
      if (!(periods >= 1)) continue;
      role.rotatedAtMs += periods * role.periodMs;
      role.password = users.setPassword(role.username, 'rotated');
    }
  }

  return { routes, tick };
}

function termsOf(role: Fields): Terms {
  return { ttlMs: role.duration('default_ttl'), maxTtlMs: role.duration('max_ttl') };
}

function describe(
  { username, password, periodMs, rotatedAtMs }: StaticRole,
  nowMs: number,
): NonNullable<Answer['data']> {
  return {
    last_vault_rotation: new Date(rotatedAtMs).toISOString(),
    password,
    rotation_period: seconds(periodMs),
    ttl: seconds(rotatedAtMs + periodMs - nowMs),
    username,
  };
}
