/** What the agent does when the wall clock of its node jumps while it runs. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeJwt } from 'jose';
import { startWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import { FaultWorld, FILES, POLICY, SPIFFE_ID } from '../../helpers/fault-world.ts';

const PROGRAM = fileURLToPath(new URL('../../helpers/wired-agent.ts', import.meta.url));
const HOUR_MS = 3_600_000;

/** Half of it is when an SVID is due. */
const JWT_TTL_MS = 6000;

/** Certificates have whole seconds. */
const CLOCK_STEP_MS = 1000;

const LOGIN = {
  name: 'login',
  template: '{{#with (secret "database/creds/app")}}{{username}}:{{password}}{{/with}}',
};

/** Where the clock is ahead it is asked for at each refresh. */
const CERTIFICATE = {
  name: 'tls.crt',
  template:
    '{{#with (pki "pki/issue/web" common_name="web.example.org" ttl="5s")}}{{certificate}}{{/with}}',
  refresh: '3s',
};

suite('wall clock', { concurrency: 2 }, () => {
  for (const [name, jumpMs] of [
    ['jumping an hour back', -HOUR_MS],
    ['jumping an hour forward', HOUR_MS],
  ] as const) {
    test(`wall clock ${name} and put right: nothing is forgotten, nothing asked for in a loop`, async () => {
      await using world = await FaultWorld.start();
      await using api = await startWorkloadApi({
        identities: [{ spiffeId: SPIFFE_ID }],
        jwtTtlMs: JWT_TTL_MS,
      });
      const agent = await world.agent(
        {
          spiffe: { socket: api.address },
          vault: undefined,
          auth: undefined,
          files: [{ name: 'cloud', jwtSvid: ['cloud'] }],
        },
        [],
        { program: PROGRAM, env: { VOUCHSAFE_TEST_JUMP_MS: String(jumpMs) } },
      );
      const started = performance.now();
      let token = world.hunt.plant(await world.bench.until('cloud', () => true));
      agent.send('SIGUSR2');
      if (jumpMs > 0) {
        await agent.logged(/ERR_SPIFFE_SVID_INVALID.*expired at .* by the clock of this node/);
        assert.equal(await world.bench.file('cloud'), token, 'the last good one stays');
        agent.send('SIGUSR2');
      }
      for (let rotation = 0; rotation < 2; rotation += 1) {
        const known = token;
        token = world.hunt.plant(await world.bench.until('cloud', (text) => text !== known));
        const { exp = 0 } = decodeJwt(token);
        assert.ok(exp * 1000 > Date.now(), 'what is in the file is good');
      }
      if (jumpMs < 0) agent.send('SIGUSR2');
      const bound = 4 + (performance.now() - started) / (JWT_TTL_MS / 2);
      assert.ok(api.calls.FetchJWTSVID <= bound, `${api.calls.FetchJWTSVID} calls`);
      await world.search(agent);
      await agent.kill('SIGTERM');
      assert.equal(await agent.exit(), 0);
    });

    test(`wall clock ${name}: secrets are read as before, with one login`, async () => {
      await using world = await FaultWorld.start();
      const env = { VOUCHSAFE_TEST_JUMP_MS: String(jumpMs) };
      const agent = await world.agent({ files: FILES }, [], { program: PROGRAM, env });
      world.watch();
      await world.delivered(1);
      for (const version of [2, 3]) {
        agent.send('SIGUSR2');
        const reads = world.reads;
        await world.change(version);
        await world.delivered(version);
        assert.ok(world.reads - reads <= 4, `${world.reads - reads} reads for one change`);
      }
      assert.equal(world.logins, 1);
      await world.search(agent);
    });

    test(`wall clock ${name}: a lease is renewed, and nothing else is asked for`, async () => {
      await using world = await FaultWorld.start();
      await issuing(world);
      const env = { VOUCHSAFE_TEST_JUMP_MS: String(jumpMs) };
      const agent = await world.agent({ files: [LOGIN] }, [], { program: PROGRAM, env });
      const login = await world.bench.until('login', () => true);
      const [user = '', password = ''] = login.split(':');
      world.hunt.plant(password);
      const renewals = { path: 'sys/leases/renew' };
      for (let jump = 0; jump < 2; jump += 1) {
        agent.send('SIGUSR2');
        const before = world.vault.count(renewals);
        await world.vault.waitFor(renewals, before + 2, AbortSignal.timeout(20_000));
      }
      assert.ok(world.vault.users.isValidLogin(user, password));
      assert.equal(await world.bench.file('login'), login);
      assert.deepEqual([world.vault.count({ path: 'database/creds/app' }), world.logins], [1, 1]);
      await world.search(agent);
      await agent.kill('SIGTERM');
      assert.equal(await agent.exit(), 0);
    });
  }

  // One that is behind cannot know by how much a certificate is dated back: see the tests of the schedule.
  test('wall clock jumping an hour forward: a certificate is replaced in time, not in a loop', async () => {
    await using world = await FaultWorld.start();
    await issuing(world);
    const env = { VOUCHSAFE_TEST_JUMP_MS: String(HOUR_MS) };
    const agent = await world.agent({ files: [CERTIFICATE] }, [], { program: PROGRAM, env });
    let certificate = await world.bench.until('tls.crt', () => true);
    for (let jump = 0; jump < 2; jump += 1) {
      agent.send('SIGUSR2');
      for (let round = 0; round < 2; round += 1) {
        const known = certificate;
        certificate = await world.bench.until('tls.crt', (text) => text !== known);
        const validTo = Date.parse(new X509Certificate(known).validTo);
        assert.ok(validTo > Date.now() - CLOCK_STEP_MS, 'replaced in time');
      }
    }
    // The first, four that were waited for, and perhaps one under way.
    const issued = world.vault.count({ path: 'pki/issue/web' });
    assert.ok(issued <= 6, `${issued} certificates`);
    assert.equal(world.logins, 1);
    await world.search(agent);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0);
  });
});

/** Makes Vault issue {@link LOGIN} and {@link CERTIFICATE}. */
async function issuing({ vault }: FaultWorld): Promise<void> {
  await vault.write('sys/policies/acl/web', {
    policy: `${POLICY}\npath "pki/issue/web" { capabilities = ["update"] }`,
  });
  await vault.write('sys/mounts/pki', { type: 'pki' });
  await vault.write('pki/root/generate/internal', { common_name: 'test', ttl: '24h' });
  await vault.write('pki/roles/web', { allow_any_name: true, max_ttl: '1h' });
  await vault.write('sys/mounts/database', { type: 'database' });
  await vault.write('database/config/main', {
    plugin_name: 'postgresql-database-plugin',
    connection_url: 'postgresql://{{username}}:{{password}}@127.0.0.1/main',
    allowed_roles: '*',
    username: 'vault',
    password: 'vault',
  });
  await vault.write('database/roles/app', {
    db_name: 'main',
    default_ttl: '4s',
    max_ttl: '1h',
    creation_statements: [`CREATE ROLE "{{name}}" PASSWORD '{{password}}';`],
  });
}
