/**
 * Faults of the real Vault, of a volume that is full or read-only, and those that take their time. Those of the
 * other servers are in test/integration/faults.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import {
  startOidcProvider,
  startWorkloadApi,
  type DevWorkloadApi,
  type OidcProvider,
} from '../../src/dev/workload-api/index.ts';
import { startApplication } from '../helpers/application.ts';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { FaultWorld, SPIFFE_ID } from '../helpers/fault-world.ts';
import { Hunt } from '../helpers/hunt.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';

suite('the real Vault', () => {
  const servers = new AsyncDisposableStack();
  const hunt = new Hunt();
  let vault: RealVault;
  let api: DevWorkloadApi;
  let oidc: OidcProvider;

  before(async () => {
    api = servers.use(await startWorkloadApi({ identities: [{ spiffeId: SPIFFE_ID }] }));
    oidc = servers.use(await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) }));
    vault = servers.use(await startRealVault());
    await vault.write('sys/policies/acl/web', { policy: POLICY });
    await vault.write('sys/auth/jwt', { type: 'jwt' });
    await vault.write('auth/jwt/config', { jwks_url: `${oidc.url}/keys` });
    await vault.write('auth/jwt/role/web', {
      ...{ role_type: 'jwt', user_claim: 'sub', bound_audiences: 'vault' },
      ...{ bound_subject: SPIFFE_ID, token_policies: 'web', token_ttl: '1h' },
    });
  });

  after(() => servers.disposeAsync());

  const POLICY = 'path "secret/*" { capabilities = ["read", "list"] }';

  /** Writes a new version of the secret of a test. */
  async function change(version: number): Promise<string> {
    const v = hunt.plant(`planted-${version}-value`);
    await vault.write('secret/data/app', { data: { v } });
    return v;
  }

  const start = (bench: AgentBench, more: object = {}): Promise<RunningAgent> =>
    bench.start({
      spiffe: { socket: api.address },
      vault: { address: vault.address },
      auth: { role: 'web' },
      listen: '127.0.0.1:0',
      files: [{ name: 'v', secret: 'secret/app#v', refresh: '1s' }],
      ...more,
    });

  async function search(agent: RunningAgent): Promise<void> {
    const { output } = agent;
    const { body: status } = await agent.get('/status');
    const { body: metrics } = await agent.get('/metrics');
    hunt.assertNone({ output, status, metrics });
  }

  test('sealed and unsealed: the files stay, one login, and the status says why', async () => {
    await using bench = await AgentBench.create();
    const logins = await vault.count('auth/jwt/login');
    const first = await change(1);
    const agent = await start(bench);
    await bench.until('v', (text) => text === first);
    await vault.seal();
    await agent.logged(/ERR_VAULT_SEALED.*is sealed/);
    assert.match((await agent.get('/status')).body, /"phase": "degraded"[^]*ERR_VAULT_SEALED/);
    assert.equal((await agent.get('/readyz')).status, 200);
    assert.equal(await bench.file('v'), first);
    await vault.unseal();
    await eventually(() => change(2).catch(() => undefined), 'Vault did not come back');
    await bench.until('v', (text) => text === 'planted-2-value');
    assert.equal(await vault.count('auth/jwt/login'), logins + 1);
    await search(agent);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0);
  });

  test('throttled by quota: what it refuses is bounded, and everything comes in the end', async () => {
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
      assert.match(agent.output, /ERR_VAULT_THROTTLED.*quota refuses/);
      const refused = (await vault.audited()).filter(({ error }) => /quota/.test(error ?? ''));
      assert.ok(refused.length <= 60, `${refused.length} refusals for ten secrets`);
      await search(agent);
    } finally {
      await vault.remove('sys/quotas/rate-limit/slow');
    }
  });

  test('the keys cannot be fetched: Vault answers 400, and is asked again until it can', async () => {
    await using bench = await AgentBench.create();
    await change(3);
    api.rotateJwtKey();
    oidc.fault({ kind: 'status', status: 503 });
    const logins = await vault.count('auth/jwt/login');
    const agent = await start(bench);
    await agent.logged(/login at auth\/jwt as role .*signing keys \(JWKS\)/);
    oidc.fault(undefined);
    await bench.until('v', (text) => text === 'planted-3-value');
    assert.ok((await vault.count('auth/jwt/login')) - logins <= 8, 'bounded by backoff');
    await search(agent);
  });

  test('a policy taken away and given back: no login, and the error names path, role and mount', async () => {
    await using bench = await AgentBench.create();
    const first = await change(4);
    const agent = await start(bench);
    await bench.until('v', (text) => text === first);
    const logins = await vault.count('auth/jwt/login');
    await vault.write('sys/policies/acl/web', {
      policy: 'path "none" { capabilities = ["read"] }',
    });
    await agent.logged(/ERR_VAULT_DENIED.*secret\/app is not for role web of auth\/jwt/);
    await vault.write('sys/policies/acl/web', { policy: POLICY });
    const next = await change(5);
    await bench.until('v', (text) => text === next);
    assert.equal(await vault.count('auth/jwt/login'), logins);
    await search(agent);
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
    const agent = await start(bench, { files: [{ name: 'all', template }] });
    await bench.until('all', (text) => text.split(';').length === 2001);
    assert.equal(await vault.count('secret/data/lots/', 'read'), 2000);
    assert.equal(await vault.count('auth/jwt/login'), logins + 1);
    assert.doesNotMatch(agent.output, /planted-lot/);
    await agent.kill('SIGTERM');
  });
});

suite('a volume', { skip: cannotMount() }, () => {
  /** A world whose output directory is a small volume in memory. */
  async function onVolume(
    world: FaultWorld,
  ): Promise<AsyncDisposable & { remount(option: string): void }> {
    const { output } = world.bench;
    await mkdir(output, { recursive: true });
    mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', output);
    return {
      remount: (option) => mount('-o', `remount,${option}`, output),
      [Symbol.asyncDispose]() {
        spawnSync('umount', ['-l', output]);
        return Promise.resolve();
      },
    };
  }

  test('that is full keeps the old set, and takes the new one when there is room', async () => {
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

  test('that is read-only for a while', async () => {
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
  test('the Workload API takes 25 seconds: one call, one login', async () => {
    await using world = await FaultWorld.start();
    world.api.fault('FetchJWTSVID', { kind: 'delay', delayMs: 25_000 });
    const agent = await world.agent({}, ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.deepEqual([world.api.calls.FetchJWTSVID, world.logins], [1, 1]);
  });

  for (const [name, answer, says] of [
    ['crashes', undefined, /ERR_NOTIFY_TARGET.*is the application listening there/],
    ['fails', 500, /ERR_NOTIFY_STATUS.*500/],
  ] as const) {
    test(`the application ${name} at each notification: tried five times, told once`, async () => {
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

  test('neither address nor container is there: each is named', async () => {
    await using world = await FaultWorld.start();
    const onChange = ['http:POST http://127.0.0.1:1/', 'signal:HUP@app'];
    const agent = await world.agent({ onChange });
    await world.delivered(1);
    await world.change(2);
    await agent.logged(/ERR_NOTIFY_TARGET.*http:\/\/127\.0\.0\.1:1/);
    await agent.logged(/ERR_NOTIFY_TARGET.*container app/);
    await world.change(3);
    await world.delivered(3);
  });
});
