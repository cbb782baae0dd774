/**
 * A private PostgreSQL 15 of Debian's packages: a cluster of its own in a temporary directory, on loopback,
 * logins by password alone.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { freePort } from './free-port.ts';

const PROGRAMS = '/usr/lib/postgresql/15/bin';
const DATABASE = 'postgres';

/** Who logs in. */
export interface DatabaseLogin {
  readonly user: string;
  readonly password: string;
}

/** Where it is to be, by default in a temporary directory and on loopback. */
export interface PostgresPlace {
  readonly directory: string;
  readonly host: string;
  /** Who may connect, besides loopback. */
  readonly network: string;
}

/** PostgreSQL does not run as root. */
interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/** A running PostgreSQL. */
export class Postgres implements AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Its superuser. */
  readonly admin: DatabaseLogin;
  readonly #directory: string;
  readonly #owner: Owner;
  #server: ChildProcess | undefined;
  /** A test process that ends early takes the server along. */
  readonly #onExit = (): void => void this.#server?.kill('SIGQUIT');

  private constructor(place: PostgresPlace, port: number, admin: DatabaseLogin, owner: Owner) {
    this.host = place.host;
    this.port = port;
    this.admin = admin;
    this.#directory = place.directory;
    this.#owner = owner;
    process.once('exit', this.#onExit);
  }

  /** Makes a cluster and starts it. */
  static async create(place?: PostgresPlace): Promise<Postgres> {
    const owner = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};
    const directory = place?.directory ?? (await mkdtemp(join(tmpdir(), 'vouchsafe-postgres-')));
    const admin = { user: 'admin', password: randomUUID() };
    const passwordFile = join(directory, 'password');
    await writeFile(passwordFile, admin.password);
    if (owner.uid !== undefined) {
      for (const path of [directory, passwordFile]) await chown(path, owner.uid, owner.gid);
    }
    const flags = ['--auth=scram-sha-256', `--pwfile=${passwordFile}`, `--username=${admin.user}`];
    const data = join(directory, 'data');
    execFileSync(
      join(PROGRAMS, 'initdb'),
      [...flags, '--locale=C', '--encoding=UTF8', '--no-sync', '--no-instructions', data],
      { ...owner, cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const network = place?.network ?? '127.0.0.1/32';
    await appendFile(join(data, 'pg_hba.conf'), `host all all ${network} scram-sha-256\n`);
    const at = place ?? { directory, host: '127.0.0.1', network };
    const postgres = new Postgres(at, await freePort(), admin, owner);
    await postgres.start();
    return postgres;
  }

  /** Starts it, and waits until it lets the superuser in. */
  async start(): Promise<void> {
    const settings = {
      listen_addresses: this.host,
      unix_socket_directories: '',
      port: this.port,
      fsync: 'off',
      full_page_writes: 'off',
      max_connections: 100,
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = spawn(
      join(PROGRAMS, 'postgres'),
      ['-D', join(this.#directory, 'data'), ...flags],
      { ...this.#owner, cwd: this.#directory, stdio: 'ignore' },
    );
    this.#server = server;
    const deadline = performance.now() + 60_000;
    while (performance.now() < deadline && server.exitCode === null) {
      try {
        await this.query('select 1');
        return;
      } catch {
        await delay(50); // not listening yet
      }
    }
    throw new Error('PostgreSQL did not start');
  }

  /** Stops it at once; the cluster stays. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined || server.exitCode !== null) return;
    const ended = once(server, 'exit');
    server.kill('SIGQUIT'); // "immediate shutdown": its children end with it
    await ended;
  }

  /** One statement on a connection of its own. */
  async query(statement: string, login = this.admin): Promise<Record<string, unknown>[]> {
    const client = new Client({
      ...login,
      host: this.host,
      port: this.port,
      database: DATABASE,
      connectionTimeoutMillis: 10_000,
    });
    // A server that stops breaks the connection, also while nobody waits for an answer.
    client.on('error', () => undefined);
    try {
      await client.connect();
      // What a row holds is the statement's matter.
      return (await client.query<Record<string, unknown>>(statement)).rows;
    } finally {
      await client.end();
    }
  }

  /** Names of the roles that Vault has made for a role of its own. */
  async issued(vaultRole: string): Promise<string[]> {
    const rows = await this.query(
      `select rolname from pg_roles where rolname like 'v-%-${vaultRole.slice(0, 8)}-%'`,
    );
    return rows.map(({ rolname }) => String(rolname));
  }

  /** What Vault uses to reach it as its superuser. */
  get vaultConfig(): object {
    return {
      plugin_name: 'postgresql-database-plugin',
      connection_url: `postgresql://{{username}}:{{password}}@${this.host}:${this.port}/${DATABASE}?sslmode=disable`,
      username: this.admin.user,
      password: this.admin.password,
      allowed_roles: '*',
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    process.removeListener('exit', this.#onExit);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
}
