/**
 * Faults of the real Vault, of a volume that is full or read-only, and those that take their time. Those of the
 * other servers are in test/integration/faults.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import { startApplication } from '../helpers/application.ts';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { FaultWorld, pairOf, SPIFFE_ID, watchPair } from '../helpers/fault-world.ts';
import { Hunt } from '../helpers/hunt.ts';
import { Postgres } from '../helpers/postgres.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import { openJwtLogin, startWorkload, writeJwtRole } from '../helpers/real-world.ts';
import type { Spire } from '../helpers/spire.ts';
import { startStoredVault, type StoredVault } from '../helpers/stored-vault.ts';
import type { VaultClient } from '../helpers/vault-client.ts';

const POLICY = [
  'path "secret/*" { capabilities = ["read", "list"] }',
  'path "database/creds/*" { capabilities = ["read"] }',
].join('\n');

/** Lets the workload in. */
async function admit(vault: VaultClient, spire: Spire): Promise<void> {
  const more = { bound_subject: SPIFFE_ID, token_ttl: '1h' };
  await openJwtLogin(vault, spire, { role: 'web', policy: POLICY, more });
}

/** Writes a new version of the secret that the files are made of. */
async function writePair(vault: RealVault, hunt: Hunt, version: number): Promise<void> {
  const password = hunt.plant(`planted-${version}-value ${version}`);
  await vault.write('secret/data/app', { data: { user: `user-${version}`, password } });
}

/** What an agent shows has no secrets in it. */
async function search(hunt: Hunt, agent: RunningAgent): Promise<void> {
  const { output } = agent;
  const { body: status } = await agent.get('/status');
  const { body: metrics } = await agent.get('/metrics');
  const { body: readiness } = await agent.get('/readyz');
  hunt.assertNone({ output, status, metrics, readiness });
}

suite('the real Vault', () => {
  const servers = new AsyncDisposableStack();
  const hunt = new Hunt();
  let vault: RealVault;
  let spire: Spire;

  before(async () => {
    spire = servers.use(await startWorkload({ spiffeId: SPIFFE_ID }));
    vault = servers.use(await startRealVault());
    await admit(vault, spire);
  });

  after(() => servers.disposeAsync());

  const change = (version: number): Promise<void> => writePair(vault, hunt, version);

  const delivered = async (bench: AgentBench, version: number): Promise<void> => {
    await bench.until('user', (text) => text === `user-${version}:end`);
  };

  const reads = (): Promise<number> => vault.count('secret/data/app', 'read');

  /** A file is asked for once a second, and a KV v2 secret is one read. */
  function assertReads(count: number, sinceMs: number): void {
    const most = 3 + (performance.now() - sinceMs) / 800;
    assert.ok(count <= most, `${count} reads, at most ${most}`);
  }

  const start = (bench: AgentBench, more: object = {}): Promise<RunningAgent> =>
    bench.start({
      spiffe: { socket: spire.socket },
      vault: { address: vault.address },
      auth: { role: 'web' },
      listen: '127.0.0.1:0',
      files: pairOf('secret/app'),
      ...more,
    });

  test('Vault sealed and unsealed: the files stay, one login, and the status says why', async () => {
    await using bench = await AgentBench.create();
    const logins = await vault.count('auth/jwt/login');
    await change(1);
    const agent = await start(bench);
    await using watch = watchPair(bench.output);
    await delivered(bench, 1);
    const [before, sinceMs] = [await reads(), performance.now()];
    await vault.seal();
    await agent.logged(/ERR_VAULT_SEALED.*is sealed/);
    assert.match((await agent.get('/status')).body, /"phase": "degraded"[^]*ERR_VAULT_SEALED/);
    assert.equal((await agent.get('/readyz')).status, 200);
    assert.equal(await bench.file('user'), 'user-1:end');
    await vault.unseal();
    await eventually(
      () =>
        change(2)
          .then(() => true)
          .catch(() => undefined),
      'Vault did not come back',
    );
    await delivered(bench, 2);
    assert.equal(await vault.count('auth/jwt/login'), logins + 1);
    assertReads((await reads()) - before, sinceMs);
    await search(hunt, agent);
    assert.ok((await watch.stop()) > 0);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0);
  });

  test('Vault throttling by quota: what it rejects is bounded, and everything comes in the end', async () => {
    await using bench = await AgentBench.create();
    for (let index = 0; index < 10; index += 1) {
      await vault.write(`secret/data/many/s${index}`, { data: { v: `${index}` } });
    }
    await vault.write('sys/quotas/config', { enable_rate_limit_audit_logging: true });
    await vault.write('sys/quotas/rate-limit/slow', { path: 'secret/', rate: 2, interval: '2s' });
    try {
      const files = Array.from({ length: 10 }, (_, index) => ({
        name: `s${index}`,
        secret: `secret/many/s${index}#v`,
      }));
      const agent = await start(bench, { files });
      await bench.until('s9', (text) => text === '9');
      assert.match(agent.output, /ERR_VAULT_THROTTLED.*rate limit quota/);
      const refused = (await vault.audited()).filter(({ error }) => /quota/.test(error ?? ''));
      assert.ok(refused.length <= 60, `${refused.length} refusals for ten secrets`);
      await search(hunt, agent);
    } finally {
      await vault.remove('sys/quotas/rate-limit/slow');
    }
  });

  test('JWKS endpoint down: Vault answers 400, and is asked again until it can', async () => {
    await using bench = await AgentBench.create();
    await change(3);
    // Vault has only the old key, and SPIRE's agent no JWT-SVID for this audience.
    await writeJwtRole(vault, 'fresh', { bound_audiences: 'fresh', token_policies: 'web' });
    await spire.rotateJwtKey();
    await spire.stop('oidc-discovery-provider');
    const logins = await vault.count('auth/jwt/login');
    const agent = await start(bench, { auth: { role: 'fresh', audience: 'fresh' } });
    await agent.logged(/login at auth\/jwt as role .*signing keys \(JWKS\)/);
    await spire.resume('oidc-discovery-provider');
    await delivered(bench, 3);
    assert.ok((await vault.count('auth/jwt/login')) - logins <= 8, 'bounded by backoff');
    await search(hunt, agent);
  });

  test('policy taken away and given back: no login, and the error names path, role and mount', async () => {
    await using bench = await AgentBench.create();
    await change(4);
    const agent = await start(bench);
    await using watch = watchPair(bench.output);
    await delivered(bench, 4);
    const logins = await vault.count('auth/jwt/login');
    const [before, sinceMs] = [await reads(), performance.now()];
    await vault.write('sys/policies/acl/web', {
      policy: 'path "none" { capabilities = ["read"] }',
    });
    await agent.logged(/ERR_VAULT_DENIED.*secret\/app is not for role web of auth\/jwt/);
    await vault.write('sys/policies/acl/web', { policy: POLICY });
    await change(5);
    await delivered(bench, 5);
    assert.equal(await vault.count('auth/jwt/login'), logins);
    assertReads((await reads()) - before, sinceMs);
    assert.ok((await watch.stop()) > 0);
    await search(hunt, agent);
  });

  test('two thousand secrets in one pod: one login, one read each', async () => {
    await using bench = await AgentBench.create();
    const names = Array.from({ length: 2000 }, (_, index) => `s${index}`);
    for (let at = 0; at < names.length; at += 50) {
      const some = names.slice(at, at + 50);
      await Promise.all(
        some.map((name) =>
          vault.write(`secret/data/lots/${name}`, { data: { v: 'planted-lot;' } }),
        ),
      );
    }
    const logins = await vault.count('auth/jwt/login');
    const template =
      '{{#each (secrets "secret/lots")}}{{secret (concat "secret/lots/" this "#v")}}{{/each}}';
    // The first refreshes are spread over that year, and none of them is to be counted.
    const agent = await start(bench, { files: [{ name: 'all', template, refresh: '8760h' }] });
    await bench.until('all', (text) => text.split(';').length === 2001);
    assert.equal(await vault.count('secret/data/lots/', 'read'), 2000);
    assert.equal(await vault.count('auth/jwt/login'), logins + 1);
    assert.doesNotMatch(agent.output, /planted-lot/);
    await agent.kill('SIGTERM');
  });
});

suite('the real Vault with storage', () => {
  test('Vault restarted: token and lease go on, the files stay, no login, no credential', async (t) => {
    await using servers = new AsyncDisposableStack();
    const hunt = new Hunt();
    const spire = servers.use(await startWorkload({ spiffeId: SPIFFE_ID }));
    const database = servers.use(await Postgres.create());
    const vault = servers.use(await startStoredVault());
    await admit(vault, spire);
    await issueLogins(vault, database);
    await writePair(vault, hunt, 1);
    await using bench = await AgentBench.create();
    const template = '{{#with (secret "database/creds/app")}}{{username}}:{{password}}{{/with}}';
    const agent = await bench.start({
      spiffe: { socket: spire.socket },
      vault: { address: vault.address },
      auth: { role: 'web' },
      listen: '127.0.0.1:0',
      files: [...pairOf('secret/app'), { name: 'login', template }],
    });
    const login = await bench.until('login', () => true);
    hunt.plant(login.split(':')[1] ?? '');
    await using watch = watchPair(bench.output);
    for (const version of [2, 3]) {
      const renewals = await vault.count('sys/leases/renew');
      const failed = agent.output.match(/secret was not refreshed/g)?.length ?? 0;
      await vault.stop();
      await eventually(() => {
        const now = agent.output.match(/secret was not refreshed/g)?.length ?? 0;
        return Promise.resolve(now > failed ? true : undefined);
      }, 'nothing failed');
      assert.match((await agent.get('/status')).body, /"degraded"[^]*is Vault running there/);
      assert.equal((await agent.get('/readyz')).status, 200);
      await search(hunt, agent);
      await vault.start();
      await writePair(vault, hunt, version);
      await bench.until('user', (text) => text === `user-${version}:end`);
      await eventually(
        async () => ((await vault.count('sys/leases/renew')) > renewals ? true : undefined),
        'the lease was not renewed',
      );
    }
    await eventually(
      async () => (/"phase": "ready"/.test((await agent.get('/status')).body) ? true : undefined),
      'it did not recover',
    );
    assert.equal(await bench.file('login'), login);
    const counts = [await vault.count('auth/jwt/login'), await vault.count('database/creds/app')];
    assert.deepEqual(counts, [1, 1], 'one login, one credential');
    t.diagnostic(`${await vault.count('sys/leases/renew')} renewals`);
    await search(hunt, agent);
    assert.ok((await watch.stop()) > 0);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
    await eventually(
      async () => ((await database.issued('app')).length === 0 ? true : undefined),
      'the restarted Vault did not remove the user',
    );
  });

  /** Credentials with a lease. */
  async function issueLogins(vault: StoredVault, database: Postgres): Promise<void> {
    await vault.write('sys/mounts/database', { type: 'database' });
    await vault.write('database/config/main', database.vaultConfig);
    await vault.write('database/roles/app', {
      db_name: 'main',
      default_ttl: '10s',
      max_ttl: '1h',
      creation_statements: `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}'`,
    });
  }
});

suite('volumes', { skip: cannotMount() }, () => {
  /** A world whose output directory is a small volume in memory. */
  async function onVolume(
    world: FaultWorld,
  ): Promise<AsyncDisposable & { remount(option: string): void; unmount(): void }> {
    const { output } = world.bench;
    await mkdir(output, { recursive: true });
    mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', output);
    return {
      remount: (option) => mount('-o', `remount,${option}`, output),
      unmount: () => void spawnSync('umount', ['-l', output]),
      [Symbol.asyncDispose]() {
        spawnSync('umount', ['-l', output]);
        return Promise.resolve();
      },
    };
  }

  test('volume full: the old set stays, and the new one comes when there is room', async () => {
    await using world = await FaultWorld.start();
    await using volume = await onVolume(world);
    const agent = await world.agent();
    const watch = world.watch();
    await world.delivered(1);
    await world.vault.write('kv/app', { user: 'user-2', password: `${'x'.repeat(100_000)} 2` });
    await agent.logged(/ERR_OUTPUT_FULL.*raise the size limit/i);
    assert.match((await agent.get('/status')).body, /"phase": "degraded"[^]*ERR_OUTPUT_FULL/);
    assert.equal(await world.bench.file('user'), 'user-1:end');
    volume.remount('size=1m');
    await world.delivered(2);
    assert.ok((await watch.stop()) > 0);
    await world.search(agent);
    await agent.kill('SIGTERM');
  });

  test('volume read-only for a while: the old set stays, and the new one comes', async () => {
    await using world = await FaultWorld.start();
    await using volume = await onVolume(world);
    const agent = await world.agent();
    const watch = world.watch();
    await world.delivered(1);
    // Until the old set is removed a file system in use cannot be made read-only.
    volume.remount('ro');
    await world.change(2);
    await agent.logged(/ERR_OUTPUT_READ_ONLY.*writable/);
    assert.equal(await world.bench.file('user'), 'user-1:end');
    volume.remount('rw');
    await world.delivered(2);
    assert.ok((await watch.stop()) > 0);
    await agent.kill('SIGTERM');
  });

  test('volume gone for a while, no value changes: the files come back by themselves', async () => {
    let calls = 0;
    await using application = await startApplication((_, response) => {
      calls += 1;
      response.end();
    });
    await using world = await FaultWorld.start();
    await using volume = await onVolume(world);
    const agent = await world.agent({ onChange: [`http:POST ${application.url}`] });
    await world.delivered(1);
    volume.unmount();
    await assert.rejects(world.bench.file('user'), { code: 'ENOENT' });
    await world.delivered(1);
    await agent.logged(/written again/);
    await using _again = await onVolume(world);
    await assert.rejects(world.bench.file('user'), { code: 'ENOENT' });
    await world.delivered(1);
    assert.equal(calls, 0, 'the bytes are those that the application knows');
    await world.change(2);
    await world.delivered(2);
    await application.called;
    assert.deepEqual([calls, world.logins], [1, 1]);
    await world.search(agent);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0);
  });
});

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mount ${args.join(' ')}: ${stderr}`);
}

/** Mounting is for root; the simulated errors of test/unit/output cover the same paths of the writer. */
function cannotMount(): string | false {
  return process.getuid?.() === 0 ? false : 'only root can mount a volume';
}

// Most of their time is waiting.
suite('patience', { concurrency: 4 }, () => {
  test('Workload API slow (25 s): one call, one login, no warning', async () => {
    await using world = await FaultWorld.start();
    world.api.fault('FetchJWTSVID', { kind: 'delay', delayMs: 25_000 });
    const agent = await world.agent({}, ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.deepEqual([world.api.calls.FetchJWTSVID, world.logins], [1, 1]);
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
  });

  for (const [name, answer, says] of [
    ['crashing', undefined, /ERR_NOTIFY_TARGET.*is the application listening there/],
    ['failing', 500, /ERR_NOTIFY_STATUS.*500/],
  ] as const) {
    test(`notify target ${name} at each notification: tried five times, logged once`, async () => {
      let calls = 0;
      await using application = await startApplication(({ socket }, response) => {
        calls += 1;
        if (answer === undefined) socket.destroy();
        else response.writeHead(answer).end();
      });
      await using world = await FaultWorld.start();
      const agent = await world.agent({ onChange: [`http:POST ${application.url}`] });
      await world.delivered(1);
      await world.change(2);
      await agent.logged(says);
      assert.equal(calls, 5);
      assert.equal(agent.output.match(/application not notified/g)?.length, 1);
      await world.change(3);
      await world.delivered(3);
      await world.search(agent);
    });
  }

  test('notify target refusing, and a container that is not there: each is named', async () => {
    await using world = await FaultWorld.start();
    const onChange = ['http:POST http://127.0.0.1:1/', 'signal:HUP@app'];
    const agent = await world.agent({ onChange });
    await world.delivered(1);
    await world.change(2);
    await agent.logged(/ERR_NOTIFY_TARGET.*http:\/\/127\.0\.0\.1:1/);
    await agent.logged(/ERR_NOTIFY_TARGET.*container app/);
    await world.change(3);
    await world.delivered(3);
    await world.search(agent);
  });
});
