/**
 * What the agent does when Vault misbehaves: files stay whole, the error names object and remedy, recovery is
 * by itself, requests are bounded, secrets stay in the files.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { AgentStatus } from '../../../src/agent/index.ts';
import { startDevVault, type FaultResponse } from '../../../src/dev/vault/index.ts';
import type { RunningAgent } from '../../helpers/agent-process.ts';
import { FaultWorld, FILES, SPIFFE_ID } from '../../helpers/fault-world.ts';

/** What befalls the reads of one secret each, with what the agent says of it. */
const FAULTS: readonly { name: string; respond: FaultResponse; code: string; says: RegExp }[] = [
  {
    name: 'resetting connections',
    respond: 'reset',
    code: 'ERR_VAULT_UNREACHABLE',
    says: /http:\/\/127\.0\.0\.1:\d+: the connection was reset/,
  },
  {
    name: 'cutting an answer in half',
    respond: 'cut',
    code: 'ERR_VAULT_MALFORMED',
    says: /was cut off; is that address Vault\?/,
  },
  {
    name: 'answering garbage',
    respond: 'garbage',
    code: 'ERR_VAULT_MALFORMED',
    says: /kv\/s2 is not a JSON object; is that address Vault\?/,
  },
  {
    name: 'hanging',
    respond: 'hang',
    code: 'ERR_VAULT_TIMEOUT',
    says: /http:\/\/127\.0\.0\.1:\d+ did not respond within 1 s/,
  },
  {
    name: 'redirecting to nobody',
    respond: { redirect: 'http://127.0.0.1:1' },
    code: 'ERR_VAULT_UNREACHABLE',
    says: /http:\/\/127\.0\.0\.1:1: .*is Vault running there\?/,
  },
  {
    name: 'being a web page of something else',
    respond: { status: 200, body: '<html>sign in</html>' },
    code: 'ERR_VAULT_MALFORMED',
    says: /kv\/s5 is not a JSON object; is that address Vault\?/,
  },
  {
    name: 'succeeding without data',
    respond: { status: 200, body: { request_id: 'r', data: null, warnings: ['odd'] } },
    code: 'ERR_VAULT_NO_VALUE',
    says: /kv\/s6 has no data; Vault warned: odd; check the path/,
  },
  {
    name: 'being JSON of something else',
    respond: { status: 200, body: { status: 'ok' } },
    code: 'ERR_VAULT_NO_VALUE',
    says: /kv\/s7 is JSON, but not in the form of Vault/,
  },
  {
    name: 'failing inside',
    respond: { status: 500, body: { errors: ['internal error'] } },
    code: 'ERR_VAULT_SERVER',
    says: /kv\/s8 with status 500/,
  },
  {
    name: 'redirecting in a circle',
    respond: { redirect: '' },
    code: 'ERR_VAULT_REDIRECT',
    says: /http:\/\/127\.0\.0\.1:\d+ redirects more than 2 times; check its api_addr/,
  },
  {
    name: 'sealed',
    respond: { status: 503, body: { errors: ['Vault is sealed'] } },
    code: 'ERR_VAULT_SEALED',
    says: /is sealed or has no active node/,
  },
];

/** A redirect to nowhere in particular leads back to where it came from. */
function here(respond: FaultResponse, { vault }: FaultWorld): FaultResponse {
  const isCircle = typeof respond === 'object' && 'redirect' in respond && respond.redirect === '';
  return isCircle ? { redirect: vault.address } : respond;
}

suite('Vault misbehaves for a while: the file stays, is fresh again, nothing is leaked', () => {
  const servers = new AsyncDisposableStack();
  let world: FaultWorld;
  let agent: RunningAgent;

  before(async () => {
    world = servers.use(await FaultWorld.start());
    for (const index of FAULTS.keys()) await world.vault.write(`kv/s${index}`, { v: 'old' });
    agent = await world.agent({
      vault: { address: world.vault.address, timeout: '1s' },
      files: [
        ...FILES,
        ...FAULTS.keys().map((index) => ({
          name: `s${index}`,
          secret: `kv/s${index}#v`,
          refresh: '1s',
        })),
      ],
    });
    world.watch();
    await world.delivered(1);
    for (const [index, { respond }] of FAULTS.entries()) {
      world.vault.faults.add({ match: { path: `kv/s${index}` }, respond: here(respond, world) });
      const v = world.hunt.plant(`planted-${index}`);
      await world.vault.write(`kv/s${index}`, { v });
    }
    for (const index of FAULTS.keys()) {
      await agent.logged(new RegExp(`"secret":"kv/s${index}",.*secret was not refreshed`));
    }
  });

  after(() => servers.disposeAsync());

  for (const [index, { name, code, says }] of FAULTS.entries()) {
    test(`Vault ${name}: the status names it, the file is the last good one`, async () => {
      const { phase, secrets } = JSON.parse((await agent.get('/status')).body) as AgentStatus;
      const error = secrets.find(({ secret }) => secret === `kv/s${index}`)?.error;
      assert.equal(error?.code, code);
      assert.match(error.message, says);
      assert.equal(phase, 'degraded');
      assert.equal(await world.bench.file(`s${index}`), 'old');
    });
  }

  test('while some fail, the others are fresh, and the application may go on', async () => {
    assert.equal((await agent.get('/readyz')).status, 200);
    await world.change(2);
    await world.delivered(2);
    await world.search(agent);
  });

  test('when the causes go, everything is fresh, after a bounded number of tries', async () => {
    world.vault.faults.clear();
    for (const [index, { name }] of FAULTS.entries()) {
      await world.bench.until(`s${index}`, (text) => text === `planted-${index}`);
      const requests = world.vault.count({ path: `kv/s${index}` });
      // Each try follows two redirects of a circle.
      const most = name === 'redirecting in a circle' ? 3 * 12 : 12;
      assert.ok(requests <= most, `Vault ${name}: ${requests} requests`);
    }
    await agent.logged(/files are delivered again|secret is refreshed again/);
    assert.equal(world.logins, 1);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0);
  });
});

// Most of their time is waiting.
suite('Vault', { concurrency: 4 }, () => {
  test('Vault unreachable at the start: one login when it comes, and the reason is known meanwhile', async () => {
    await using world = await FaultWorld.start();
    await world.stopVault();
    const agent = await world.agent();
    await agent.logged(/VAULT_UNREACHABLE.*is Vault running there/);
    const { status, body } = await agent.get('/readyz');
    assert.equal(status, 503);
    assert.match(body, /ERR_VAULT_UNREACHABLE/);
    await world.search(agent);
    await world.restartVault();
    await world.delivered(1);
    assert.equal(world.logins, 1);
  });

  test('Vault restarted without its storage: one new login, the files stay', async () => {
    await using world = await FaultWorld.start();
    const agent = await world.agent();
    const watch = world.watch();
    await world.delivered(1);
    await world.stopVault();
    await agent.logged(/VAULT_UNREACHABLE.*secret was not refreshed/);
    await world.restartVault();
    await world.change(2);
    await world.delivered(2);
    assert.equal(world.logins, 1, 'one at the new Vault');
    await watch.stop();
    await world.search(agent);
  });

  test('policy taken away and given back: no login, reads bounded', async () => {
    await using world = await FaultWorld.start();
    const agent = await world.agent();
    const watch = world.watch();
    await world.delivered(1);
    await world.vault.write('sys/policies/acl/web', {
      policy: 'path "other" { capabilities = ["read"] }',
    });
    await world.change(2);
    await agent.logged(/kv\/app is not for role web of auth\/jwt.*add the path to a policy/);
    const reads = world.reads;
    await world.search(agent);
    await world.vault.write('sys/policies/acl/web', {
      policy: 'path "kv/*" { capabilities = ["read"] }',
    });
    await world.delivered(2);
    assert.ok(world.reads - reads <= 4);
    assert.equal(world.logins, 1, 'a denial is no reason to log in');
    await watch.stop();
  });

  test('Vault throttling by quota: Retry-After is kept to', async () => {
    await using world = await FaultWorld.start();
    world.vault.rateLimit({ requests: 1, intervalMs: 2000 });
    const agent = await world.agent();
    await world.delivered(1);
    assert.match(agent.output, /VAULT_THROTTLED/);
    assert.equal(world.logins, 1);
    const refused = world.vault.requests.filter(({ status }) => status === 429);
    assert.ok(refused.length <= 4, `${refused.length} requests refused`);
    world.vault.rateLimit(undefined);
    await agent.kill('SIGTERM');
  });

  test('Vault redirecting from a standby to the active node: one login', async () => {
    await using world = await FaultWorld.start();
    await using standby = await startDevVault();
    standby.faults.add({ match: {}, respond: { redirect: world.vault.address } });
    const agent = await world.agent({ vault: { address: standby.address } }, ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(world.logins, 1);
  });

  for (const [what, role, says] of [
    [
      'an audience that the role has not',
      { bound_audiences: ['other'] },
      /audience.*bound_audiences/,
    ],
    ['a role that is put right', { bound_subject: 'spiffe://x/y' }, undefined],
  ] as const) {
    test(`login rejected: ${what}`, async () => {
      await using world = await FaultWorld.start();
      await world.role(role);
      const agent = await world.agent({ initDeadline: says === undefined ? '30s' : '5s' });
      await agent.logged(/"LOGIN|ERR_VAULT_LOGIN_REFUSED/);
      if (says === undefined) {
        await world.role({ bound_subject: SPIFFE_ID });
        await world.delivered(1);
      } else {
        assert.equal(await agent.exit(), 17);
        assert.match(await agent.terminationMessage(), says);
        assert.match(await agent.terminationMessage(), /auth\/jwt as role "web"/);
      }
      assert.ok(world.logins <= 6, `${world.logins} logins`);
    });
  }

  test('JWKS endpoint down (Vault answers 400): tried again until it is up', async () => {
    await using world = await FaultWorld.start();
    world.oidc.fault({ kind: 'status', status: 500 });
    const agent = await world.agent();
    await agent.logged(/signing keys \(JWKS\).*is often temporary/);
    world.oidc.fault(undefined);
    await world.delivered(1);
    assert.ok(world.logins <= 4, `${world.logins} logins`);
    await world.search(agent);
  });

  test('signing key rotated: the next login is by the new key', async () => {
    await using world = await FaultWorld.start();
    const agent = await world.agent();
    const watch = world.watch();
    await world.delivered(1);
    world.api.rotateJwtKey();
    const [accessor = ''] = world.vault.requests.flatMap((request) => request.accessor ?? []);
    await world.vault.write('auth/token/revoke-accessor', { accessor });
    await world.change(2);
    await world.delivered(2);
    assert.equal(world.logins, 2);
    assert.doesNotMatch(agent.output, /LOGIN_REFUSED/);
    await world.search(agent);
    assert.ok((await watch.stop()) > 0);
  });

  test('one lease whose renewal always fails among nineteen that work', async () => {
    await using world = await FaultWorld.start();
    const { vault } = world;
    await vault.write('sys/mounts/database', { type: 'database' });
    await vault.write('database/config/main', {
      plugin_name: 'postgresql-database-plugin',
      connection_url: 'postgresql://{{username}}:{{password}}@127.0.0.1/main',
      allowed_roles: '*',
      username: 'vault',
      password: 'vault',
    });
    const names = Array.from({ length: 20 }, (_, index) => `app${index}`);
    const define = (name: string): Promise<unknown> =>
      vault.write(`database/roles/${name}`, {
        db_name: 'main',
        default_ttl: '3s',
        max_ttl: '1h',
        creation_statements: [`CREATE ROLE "{{name}}" PASSWORD '{{password}}';`],
      });
    for (const name of names) await define(name);
    const agent = await world.agent({
      revokeGrace: '100ms',
      files: names.map((name) => ({
        name,
        template: `{{#with (secret "database/creds/${name}")}}{{username}} {{password}}{{/with}}`,
      })),
    });
    const credentials = (): number =>
      vault.users.events.filter(({ kind }) => kind === 'created').length;
    await world.bench.until('app19', () => true);
    // Without its role Vault neither renews the lease nor issues another credential.
    await vault.delete('database/roles/app7');
    await agent.logged(/"secret":"database\/creds\/app7".*could not find role.*not refreshed/);
    await vault.waitFor({ path: 'database/creds/app7' }, 3, AbortSignal.timeout(20_000));
    assert.equal(credentials(), 20, 'only that one is requested again');
    assert.ok(vault.count({ path: 'database/creds/app7' }) <= 5, 'bounded by backoff');
    await define('app7');
    await agent.logged(/"secret":"database\/creds\/app7".*secret is refreshed again/);
    await world.bench.until('app7', (text) => vault.users.isValidLogin(...login(text)));
    for (const name of names) {
      const [username, password] = login(await world.bench.file(name));
      assert.ok(vault.users.isValidLogin(username, world.hunt.plant(password)), name);
    }
    assert.equal(credentials(), 21);
    assert.equal(world.logins, 1);
    await world.search(agent);
    await agent.kill('SIGTERM');
    assert.deepEqual(vault.leaseIds, []);
  });
});

function login(file: string): [username: string, password: string] {
  const [username = '', password = ''] = file.split(' ');
  return [username, password];
}
