/**
 * A database engine without databases: dynamic users with leases, static ones with rotated passwords.
 * @see https://developer.hashicorp.com/vault/api-docs/secret/databases
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../core/index.ts';
import { RoleStore } from '../core/roles.ts';
import { Fields, seconds } from '../core/fields.ts';
import {
  listedRefusal,
  NOTHING_FOUND,
  Refusal,
  type Answer,
  type Json,
  type Terms,
} from '../core/messages.ts';
import type { Backend } from '../core/mounts.ts';
import { Routes, WRITE } from '../core/routes.ts';
import { StaticRoles } from './static-roles.ts';
import { createPassword, type DatabaseUsers } from './users.ts';

interface DynamicRole {
  readonly database: string;
  readonly terms: Terms;
  readonly body: Json;
}

/** Creates a database engine with its users in `users`. */
export function createDatabaseBackend(clock: Clock, users: DatabaseUsers): Backend {
  const engine = new DatabaseEngine(clock, users);
  const routes = new Routes()
    .on('list', 'config', () => engine.listConnections())
    .on('read', 'config/:name', (_, { name = '' }) => engine.readConnection(name))
    .on(WRITE, 'config/:name', ({ body }, { name = '' }) => engine.connect(name, body))
    .on('delete', 'config/:name', (_, { name = '' }) => engine.disconnect(name))
    .on('read', 'creds/:name', (_, { name = '' }) => engine.issue(name))
    .on('read', 'static-creds/:name', (_, { name = '' }) => engine.statics.credentials(name))
    .on(WRITE, 'rotate-role/:name', (_, { name = '' }) => engine.statics.rotate(name));
  engine.roles.addRoutes(routes);
  engine.statics.addRoutes(routes);
  return {
    handle: (request) => routes.handle(request),
    tick: () => engine.statics.tick(),
  };
}

class DatabaseEngine {
  readonly roles = new RoleStore<DynamicRole>({ base: 'roles', parse: parseRole, show: showRole });
  readonly statics: StaticRoles;
  readonly #connections = new Map<string, Json>();
  readonly #clock: Clock;
  readonly #users: DatabaseUsers;

  constructor(clock: Clock, users: DatabaseUsers) {
    this.#clock = clock;
    this.#users = users;
    this.statics = new StaticRoles(clock, users, (name) => this.#connection(name));
  }

  connect(name: string, body: Json): Answer {
    if (!new Fields(body).has('plugin_name')) throw new Refusal(400, 'empty plugin name');
    this.#connections.set(name, { ...this.#connections.get(name), ...body });
    return {};
  }

  disconnect(name: string): Answer {
    this.#connections.delete(name);
    return {};
  }

  listConnections(): Answer {
    const keys = [...this.#connections.keys()].sort();
    return keys.length === 0 ? NOTHING_FOUND : { data: { keys } };
  }

  readConnection(name: string): Answer {
    const body = this.#connections.get(name);
    if (body === undefined) return NOTHING_FOUND;
    const fields = new Fields(body);
    return {
      data: {
        allowed_roles: fields.list('allowed_roles'),
        connection_details: {
          connection_url: fields.text('connection_url'),
          username: fields.text('username'),
        },
        password_policy: fields.text('password_policy'),
        plugin_name: fields.text('plugin_name'),
        plugin_version: '',
        root_credentials_rotate_statements: [],
      },
    };
  }

  issue(name: string): Answer {
    const role = this.roles.get(name.toLowerCase());
    if (role === undefined) throw new Refusal(400, `unknown role: ${name}`);
    const allowed = new Fields(this.#connection(role.database)).list('allowed_roles');
    if (!allowed.includes('*') && !allowed.includes(name)) {
      throw listedRefusal(500, `"${name}" is not an allowed role`);
    }
    const random = randomBytes(15).toString('base64url').replace(/[-_]/g, 'x');
    const username = `v-dev-${name.slice(0, 8)}-${random}-${seconds(this.#clock.now())}`;
    const password = createPassword();
    this.#users.create(username, password);
    return {
      data: { password, username },
      lease: {
        ...role.terms,
        renewable: true,
        revoke: () => this.#users.revoke(username),
        renewal: () => this.#renew(name, username),
      },
    };
  }

  #renew(name: string, username: string): Terms {
    const role = this.roles.get(name.toLowerCase());
    if (role === undefined) {
      const text = `failed to renew entry: error during renew: could not find role with name: "${name}"`;
      throw listedRefusal(500, text);
    }
    this.#users.renew(username);
    return role.terms;
  }

  #connection(name: string): Json {
    const connection = this.#connections.get(name);
    if (connection !== undefined) return connection;
    throw listedRefusal(500, `failed to find entry for connection with name: "${name}"`);
  }
}

function parseRole(body: Json): DynamicRole {
  const fields = new Fields(body);
  const database = fields.text('db_name');
  if (database === '') throw new Refusal(400, 'database name is required');
  const terms = { ttlMs: fields.duration('default_ttl'), maxTtlMs: fields.duration('max_ttl') };
  return { database, terms, body };
}

function showRole(role: DynamicRole): Json {
  const fields = new Fields(role.body);
  return {
    creation_statements: fields.list('creation_statements'),
    credential_type: 'password',
    db_name: role.database,
    default_ttl: seconds(role.terms.ttlMs),
    max_ttl: seconds(role.terms.maxTtlMs),
    renew_statements: fields.list('renew_statements'),
    revocation_statements: fields.list('revocation_statements'),
    rollback_statements: fields.list('rollback_statements'),
  };
}
