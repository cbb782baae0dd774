/**
 * Credentials that a database honours: the real Vault's database engine and PostgreSQL 15. An application logs
 * in ten times a second with what the file says, for minutes; what was asked of Vault is counted in its audit
 * log.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { DatabaseClient } from '../helpers/database-client.ts';
import { Hunt } from '../helpers/hunt.ts';
import { Postgres } from '../helpers/postgres.ts';
import type { RealVault } from '../helpers/real-vault.ts';
import { startRealWorld, writeJwtRole, type RealWorld } from '../helpers/real-world.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/database';
const POLICY = [
  'path "database/*" { capabilities = ["read"] }',
  'path "sys/leases/revoke" { capabilities = ["update"] }',
].join('\n');
const CREATE = `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`;

/** How long the application goes on logging in. */
const MINUTES_MS = 120_000;

/** A static role is asked for its new password once a second from just before its time until it is there. */
const MAX_ROTATION_LAG_MS = 4000;

/** One agent and one application with the servers behind them. */
class World {
  readonly database: Postgres;
  readonly vault: RealVault;
  readonly hunt = new Hunt();
  readonly #servers: RealWorld;

  constructor(database: Postgres, servers: RealWorld) {
    this.database = database;
    this.vault = servers.vault;
    this.#servers = servers;
  }

  static async open(stack: AsyncDisposableStack): Promise<World> {
    const login = { role: 'database', policy: POLICY };
    const servers = stack.use(await startRealWorld({ spiffeId: SPIFFE_ID, ...login }));
    const { vault } = servers;
    const database = stack.use(await Postgres.create());
    await vault.write('sys/mounts/database', { type: 'database' });
    await vault.write('database/config/main', database.vaultConfig);
    return new World(database, servers);
  }

  async login(name: string, life: object = { token_ttl: '1h' }): Promise<void> {
    await writeJwtRole(this.vault, name, { token_policies: 'database', ...life });
  }

  /** A role whose users Vault makes. */
  async dynamicRole(name: string, settings: object): Promise<void> {
    await this.vault.write(`database/roles/${name}`, {
      db_name: 'main',
      creation_statements: [CREATE],
      ...settings,
    });
  }

  /** A role for one user, whose password Vault changes. */
  async staticRole(name: string, settings: object): Promise<void> {
    await this.database.query(`create role "${name}" login password 'to be changed'`);
    await this.vault.write(`database/static-roles/${name}`, {
      db_name: 'main',
      username: name,
      ...settings,
    });
  }

  agent(bench: AgentBench, path: string, more: object): Promise<RunningAgent> {
    return bench.start({
      ...this.#servers.servers,
      files: [
        {
          name: 'login',
          template: `{{#with (secret "${path}")}}{{username}}:{{password}}{{/with}}`,
        },
      ],
      ...more,
    });
  }

  /** Waits for the file, then starts the application. */
  async client(bench: AgentBench): Promise<DatabaseClient> {
    await bench.until('login', () => true);
    const plant = (password: string): void => void this.hunt.plant(password);
    return new DatabaseClient(this.database, join(bench.output, 'login'), plant);
  }

  /** Ends the agent; none of its users is left, and it has reported nothing. */
  async end(agent: RunningAgent, role: string): Promise<void> {
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
    await eventually(
      async () => ((await this.database.issued(role)).length === 0 ? true : undefined),
      'users were left in the database',
    );
    this.hunt.assertNone({ output: agent.output });
  }
}

suite('PostgreSQL: a login works ten times a second, for minutes', { concurrency: true }, () => {
  const stack = new AsyncDisposableStack();
  let world: World;

  before(async () => {
    world = await World.open(stack);
  });

  after(() => stack.disposeAsync());

  test('a lease is renewed up to its max TTL, replaced before that, and the old user is removed', async (t) => {
    const { vault, database } = world;
    await world.login('renewed');
    await world.dynamicRole('renewed', { default_ttl: '10s', max_ttl: '30s' });
    await using bench = await AgentBench.create();
    const agent = await world.agent(bench, 'database/creds/renewed', { auth: { role: 'renewed' } });
    await using client = await world.client(bench);
    await delay(MINUTES_MS);
    await assertOldRemoved(database, 'renewed');
    const seen = await client.stop();
    const issued = await vault.count('database/creds/renewed');
    t.diagnostic(`${seen.logins} logins, ${seen.failures.length} failed, ${issued} users`);
    assert.deepEqual(seen.failures, []);
    assert.ok(seen.logins > MINUTES_MS / 200, `${seen.logins} logins`);
    assert.ok(
      seen.users.every(({ didOldWork }) => didOldWork),
      'replaced before the old one ended',
    );
    // Each lives for the 30 s of its max TTL, less what it is replaced before.
    assert.ok(issued >= 4 && issued <= 6, `${issued} users`);
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
    await world.end(agent, 'renewed');
  });

  test('a token shorter than the lease: each login replaces the user before the old one is let go', async (t) => {
    const { vault, database } = world;
    await world.login('short', { token_ttl: '15s', token_max_ttl: '30s' });
    await world.dynamicRole('short', { default_ttl: '1h', max_ttl: '2h' });
    await using bench = await AgentBench.create();
    const agent = await world.agent(bench, 'database/creds/short', { auth: { role: 'short' } });
    await using client = await world.client(bench);
    await delay(MINUTES_MS);
    await assertOldRemoved(database, 'short');
    const seen = await client.stop();
    const issued = await vault.count('database/creds/short');
    const logins = agent.output.match(/logged in to vault/g)?.length;
    t.diagnostic(`${seen.logins} logins, ${seen.failures.length} failed, ${issued} users`);
    assert.deepEqual(seen.failures, []);
    assert.ok(
      seen.users.every(({ didOldWork }) => didOldWork),
      'replaced before the old one ended',
    );
    assert.ok(issued >= 4 && issued <= 6, `${issued} users`);
    assert.equal(logins, issued, 'one user for each login');
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
    await world.end(agent, 'short');
  });

  test('lease revoked behind our back: the outage ends at the next renewal', async (t) => {
    const { vault } = world;
    await world.login('revoked');
    await world.dynamicRole('revoked', { default_ttl: '10s', max_ttl: '1h' });
    await using bench = await AgentBench.create();
    const agent = await world.agent(bench, 'database/creds/revoked', { auth: { role: 'revoked' } });
    await using client = await world.client(bench);
    for (let round = 1; round <= 2; round += 1) {
      await vault.write('sys/leases/revoke-prefix/database/creds/revoked');
      await eventually(
        () => Promise.resolve(client.experience.users.length === round + 1 ? true : undefined),
        'no new user came',
      );
      await delay(1000);
    }
    const seen = await client.stop();
    t.diagnostic(`outages of ${seen.outagesMs.join(' and ')} ms`);
    assert.equal(seen.outagesMs.length, 2);
    // Renewed at 60 to 70 % of 10 s at the latest; the rest is a busy machine's.
    assert.ok(Math.max(...seen.outagesMs) < 10_000, `outages ${seen.outagesMs.join(', ')} ms`);
    assert.equal(await vault.count('database/creds/revoked'), 3, 'one new user for each');
    await world.end(agent, 'revoked');
  });

  /** What Vault says of the rotation of a role, and how long the file took to follow each. */
  async function followRotations(
    bench: AgentBench,
    name: string,
    rotations: number,
  ): Promise<readonly number[]> {
    const rotatedAtMs = async (): Promise<number> => {
      const role = await world.vault.read(`database/static-roles/${name}`);
      return Date.parse(String(role['last_vault_rotation']));
    };
    const lags: number[] = [];
    let text = await bench.file('login');
    while (lags.length < rotations) {
      const atMs = await rotatedAtMs();
      const old = text;
      await patiently(async () => (await rotatedAtMs()) !== atMs);
      await patiently(async () => (text = await bench.file('login')) !== old);
      lags.push(Date.now() - (await rotatedAtMs()));
    }
    return lags;
  }

  for (const [name, settings, rotations] of [
    ['period', { rotation_period: '10s' }, 10],
    ['schedule', { rotation_schedule: '* * * * *' }, 3],
    ['window', { rotation_schedule: '* * * * *', rotation_window: '1h' }, 3],
  ] as const) {
    test(`static role, rotation by ${name}: the new password is in the file within two seconds`, async (t) => {
      await world.login(name);
      await world.staticRole(name, settings);
      await using bench = await AgentBench.create();
      const path = `database/static-creds/${name}`;
      const agent = await world.agent(bench, path, { auth: { role: name } });
      await using client = await world.client(bench);
      const lags = await followRotations(bench, name, rotations);
      const reads = await world.vault.count(path);
      await delay(1000);
      const seen = await client.stop();
      t.diagnostic(
        `lags ${lags.join(', ')} ms; outages ${seen.outagesMs.join(', ')} ms; ${reads} reads`,
      );
      assert.ok(Math.max(...lags) < MAX_ROTATION_LAG_MS, `lags ${lags.join(', ')} ms`);
      assert.ok(Math.max(0, ...seen.outagesMs) < MAX_ROTATION_LAG_MS, 'outages');
      // Vault looks for what is due every five seconds.
      assert.ok(reads <= 2 + (rotations + 1) * 8, `${reads} reads`);
      assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
      await agent.kill('SIGTERM');
      world.hunt.assertNone({ output: agent.output });
    });
  }

  test('static role, rotation by hand: it is seen at the refresh', async () => {
    await world.login('manual');
    await world.staticRole('manual', { rotation_period: '1h' });
    await using bench = await AgentBench.create();
    const path = 'database/static-creds/manual';
    const template = `{{#with (secret "${path}")}}{{username}}:{{password}}{{/with}}`;
    const agent = await world.agent(bench, path, {
      auth: { role: 'manual' },
      files: [
        { name: 'login', template, refresh: '3s' },
        { name: 'all', secret: path, refresh: '3s' },
      ],
    });
    await using client = await world.client(bench);
    await world.vault.write('database/rotate-role/manual');
    await eventually(
      () => Promise.resolve(client.experience.outagesMs.some(Number.isFinite) ? true : undefined),
      'the application did not recover',
    );
    const seen = await client.stop();
    assert.ok(Math.max(...seen.outagesMs) < 6000, `outages ${seen.outagesMs.join(', ')} ms`);
    const deliveries = agent.output.match(/files delivered/g)?.length;
    assert.equal(deliveries, 2, 'a TTL that counts down is no change');
    await agent.kill('SIGTERM');
    world.hunt.assertNone({ output: agent.output });
  });
});

suite('PostgreSQL: a database that rejects new credentials', () => {
  const stack = new AsyncDisposableStack();
  let world: World;

  before(async () => {
    world = await World.open(stack);
    await world.login('faults');
  });

  after(() => stack.disposeAsync());

  const isPast = (client: DatabaseClient, failures: number): true | undefined =>
    client.experience.failures.length > failures ? true : undefined;

  test('a database that is stopped and started again: the lease is kept, renewed when it is back, and no user is made', async (t) => {
    const { database, vault } = world;
    await world.dynamicRole('faults', { default_ttl: '30s', max_ttl: '1h' });
    await using bench = await AgentBench.create();
    const path = 'database/creds/faults';
    const agent = await world.agent(bench, path, { auth: { role: 'faults' } });
    await using client = await world.client(bench);
    const renewals = await vault.count('sys/leases/renew');
    await database.stop();
    await eventually(() => Promise.resolve(isPast(client, 0)), 'the database is not stopped');
    await agent.logged(/secret was not refreshed/);
    const text = await bench.file('login');
    await database.start();
    await agent.logged(/secret is refreshed again/);
    const seen = await client.stop();
    assert.equal(await bench.file('login'), text, 'the login in the file is the same');
    assert.equal(seen.users.length, 1);
    assert.equal(seen.outagesMs.length, 1, 'it works again once the database is back');
    assert.equal(await vault.count(path), 1);
    const tries = (await vault.count('sys/leases/renew')) - renewals;
    const logged = line(agent, /secret was not refreshed/);
    t.diagnostic(`${tries} renewals tried; ${logged}`);
    assert.match(logged, /lease of database\/creds\/faults; check the system behind it/);
    assert.ok(tries <= 6, `${tries} renewals tried`);
    await world.end(agent, 'faults');
  });

  test('a database that rejects new credentials: the lease is renewed to its end, the error has the remedy', async (t) => {
    const { database, vault } = world;
    await database.query('create role readers');
    await world.dynamicRole('grants', {
      default_ttl: '8s',
      max_ttl: '20s',
      creation_statements: [CREATE, 'GRANT readers TO "{{name}}"'],
    });
    await using bench = await AgentBench.create();
    const path = 'database/creds/grants';
    const agent = await world.agent(bench, path, { auth: { role: 'faults' } });
    await using client = await world.client(bench);
    const renewals = await vault.count('sys/leases/renew');
    await database.query('drop role readers');
    await agent.logged(/secret was not refreshed/);
    const refusedMs = performance.now();
    assert.ok((await vault.count('sys/leases/renew')) >= renewals + 2, 'renewed up to its max TTL');
    assert.equal(isPast(client, 0), undefined, 'the old login works meanwhile');
    await eventually(() => Promise.resolve(isPast(client, 50)), 'the lease has not ended');
    const [first] = client.experience.failures;
    assert.ok(first !== undefined && first.atMs > 18_000, 'not before the end of its max TTL');
    await database.query('create role readers');
    await agent.logged(/secret is refreshed again/);
    await delay(1000);
    const seen = await client.stop();
    assert.equal(seen.outagesMs.length, 1);
    assert.ok(Number.isFinite(seen.outagesMs[0]), 'it works again');
    const logged = line(agent, /secret was not refreshed/);
    const tries = await vault.count(path);
    t.diagnostic(`${tries} tries; outage ${seen.outagesMs.join()} ms; ${logged}`);
    // The first, the last, one at once, and then waits of a fifth of the lease with their spread.
    const most = 3 + (performance.now() - refusedMs) / 800;
    assert.ok(tries <= most, `${tries} tries`);
    assert.match(logged, /database\/creds\/grants/);
    assert.match(logged, /check its log and the system behind that path/);
    await world.end(agent, 'grants');
  });
});

/** The first line of its log that fits. */
function line(agent: RunningAgent, pattern: RegExp): string {
  return agent.output.split('\n').find((one) => pattern.test(one)) ?? '';
}

/** The user of the file, and perhaps the one before in its grace. */
async function assertOldRemoved(database: Postgres, role: string): Promise<void> {
  const users = await database.issued(role);
  assert.ok(users.length === 1 || users.length === 2, `${users.length} users`);
}

/** For what takes a minute and more. */
async function patiently(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 150_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, 'it did not come');
    await delay(20);
  }
}
