/**
 * Static roles of the database engine: one user each, whose password is rotated on schedule.
 */
import type { Clock } from '../../../core/index.ts';
import { Fields, formatInstant, seconds } from '../core/fields.ts';
import { NOTHING_FOUND, Refusal, type Answer, type Json } from '../core/messages.ts';
import { WRITE, type Routes } from '../core/routes.ts';
import { parseSchedule } from './schedule.ts';
import { createPassword, type DatabaseUsers } from './users.ts';

/** Vault's shortest rotation period. */
const MIN_PERIOD_MS = 5000;

interface StaticRole {
  readonly body: Json;
  readonly username: string;
  /** When the next rotation is due after one. */
  readonly dueAfter: (rotatedAtMs: number) => number;
  password: string;
  rotatedAtMs: number;
  dueAtMs: number;
}

/** The static roles of one engine. */
export class StaticRoles {
  readonly #roles = new Map<string, StaticRole>();
  readonly #clock: Clock;
  readonly #users: DatabaseUsers;
  readonly #requireConnection: (name: string) => unknown;

  /** `requireConnection` rejects names of databases that are not configured. */
  constructor(clock: Clock, users: DatabaseUsers, requireConnection: (name: string) => unknown) {
    this.#clock = clock;
    this.#users = users;
    this.#requireConnection = requireConnection;
  }

  addRoutes(routes: Routes): void {
    routes
      .on('list', 'static-roles', () => {
        const keys = [...this.#roles.keys()].sort();
        return keys.length === 0 ? NOTHING_FOUND : { data: { keys } };
      })
      .on('read', 'static-roles/:name', (_, { name = '' }) => {
        const role = this.#roles.get(name);
        return role === undefined ? NOTHING_FOUND : { data: describe(role) };
      })
      .on(WRITE, 'static-roles/:name', ({ body }, { name = '' }) => this.#write(name, body))
      .on('delete', 'static-roles/:name', (_, { name = '' }) => {
        this.#roles.delete(name);
        return {};
      });
  }

  credentials(name: string): Answer {
    const role = this.#roles.get(name);
    if (role === undefined) throw new Refusal(400, `unknown role: ${name}`);
    const { username, password } = role;
    return {
      data: {
        last_vault_rotation: formatInstant(role.rotatedAtMs),
        password,
        ...rotationOf(role.body),
        ttl: seconds(role.dueAtMs - this.#clock.now()),
        username,
      },
    };
  }

  /** Rotates the password now; the next rotation is due one period later. */
  rotate(name: string): Answer {
    const role = this.#roles.get(name);
    if (role === undefined) throw new Refusal(400, 'no static role found for role name');
    this.#change(role, this.#clock.now());
    return {};
  }

  /** Rotates the passwords that are due. */
  tick(): void {
    const nowMs = this.#clock.now();
    for (const role of this.#roles.values()) {
      if (role.dueAtMs > nowMs) continue;
      // As if each rotation had happened when it was due; only the last password matters.
      let dueAtMs = role.dueAtMs;
      while (role.dueAfter(dueAtMs) <= nowMs) dueAtMs = role.dueAfter(dueAtMs);
      this.#change(role, dueAtMs);
    }
  }

  #write(name: string, given: Json): Answer {
    const before = this.#roles.get(name);
    const body = { ...before?.body, ...given };
    const fields = new Fields(body);
    if (!fields.has('db_name')) throw new Refusal(400, 'database name is a required field');
    const username = fields.text('username');
    if (username === '') {
      throw new Refusal(400, 'username is a required field to create a static account');
    }
    const dueAfter = readRotation(fields);
    this.#requireConnection(fields.text('db_name'));
    const rotatedAtMs = before?.rotatedAtMs ?? this.#clock.now();
    const dueAtMs = dueAfter(rotatedAtMs);
    const password = before?.password ?? createPassword();
    this.#roles.set(name, { body, username, dueAfter, password, rotatedAtMs, dueAtMs });
    if (before === undefined) this.#users.rotate(username, password);
    return {};
  }

  #change(role: StaticRole, rotatedAtMs: number): void {
    role.password = createPassword();
    role.rotatedAtMs = rotatedAtMs;
    role.dueAtMs = role.dueAfter(rotatedAtMs);
    this.#users.rotate(role.username, role.password);
  }
}

function readRotation(fields: Fields): StaticRole['dueAfter'] {
  if (fields.has('rotation_schedule')) {
    const schedule = parseSchedule(fields.text('rotation_schedule'));
    return (rotatedAtMs) => schedule.next(rotatedAtMs);
  }
  if (!fields.has('rotation_period')) {
    throw new Refusal(
      400,
      'one of rotation_schedule or rotation_period must be provided to create a static account',
    );
  }
  const periodMs = fields.duration('rotation_period');
  if (periodMs < MIN_PERIOD_MS) {
    throw new Refusal(400, 'rotation_period must be 5 seconds or more');
  }
  return (rotatedAtMs) => rotatedAtMs + periodMs;
}

function rotationOf(body: Json): Json {
  const fields = new Fields(body);
  if (!fields.has('rotation_schedule')) {
    return { rotation_period: seconds(fields.duration('rotation_period')) };
  }
  return {
    rotation_schedule: fields.text('rotation_schedule'),
    rotation_window: seconds(fields.duration('rotation_window')),
  };
}

function describe(role: StaticRole): Json {
  const fields = new Fields(role.body);
  return {
    credential_type: 'password',
    db_name: fields.text('db_name'),
    last_vault_rotation: formatInstant(role.rotatedAtMs),
    ...rotationOf(role.body),
    rotation_statements: fields.list('rotation_statements'),
    username: role.username,
  };
}
