/**
 * The engine against the real Vault: every kind of secret, leases and tokens through their whole life.
 * What was asked of Vault is counted in its audit log.
 */
import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { AgentBench, eventually } from '../helpers/agent-process.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import { openJwtLogin, startWorkload } from '../helpers/real-world.ts';
import type { Spire } from '../helpers/spire.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/engine';

let spire: Spire;

before(async () => {
  spire = await startWorkload({ spiffeId: SPIFFE_ID });
});

after(() => spire[Symbol.asyncDispose]());

/** Lets the workload log in to a Vault with this policy. */
async function openLogin(vault: RealVault, policy: string, role: object = {}): Promise<void> {
  const more = { bound_subject: SPIFFE_ID, ...role };
  await openJwtLogin(vault, spire, { role: 'engine', policy, more });
}

/** The part of a document that names the servers. */
function servers(vault: RealVault): object {
  return {
    spiffe: { socket: spire.socket },
    vault: { address: vault.address },
    auth: { role: 'engine' },
  };
}

suite('static secrets and certificates', () => {
  let vault: RealVault;

  before(async () => {
    vault = await startRealVault();
    await vault.write('sys/mounts/kv1', { type: 'kv', options: { version: '1' } });
    await vault.write('kv1/app', { user: 'one', password: 'planted-kv1' });
    await vault.write('secret/data/app', { data: { user: 'two', password: 'planted-kv2' } });
    await vault.write('sys/mounts/pki', { type: 'pki' });
    await vault.write('pki/root/generate/internal', { common_name: 'engine test', ttl: '24h' });
    await vault.write('pki/roles/web', { allow_any_name: true, max_ttl: '1h' });
    await openLogin(
      vault,
      [
        'path "kv1/*" { capabilities = ["read", "list"] }',
        'path "secret/*" { capabilities = ["read", "list"] }',
        'path "pki/issue/web" { capabilities = ["update"] }',
      ].join('\n'),
      { token_ttl: '1h' },
    );
  });

  after(async () => {
    await vault[Symbol.asyncDispose]();
  });

  test('KV v1, KV v2, a list and a path made of a value, in one template and one login', async () => {
    const before = await vault.count('auth/jwt/login');
    await using bench = await AgentBench.create();
    await vault.write('secret/data/apps/planted-kv2', { data: { found: 'by value' } });
    const template = [
      '{{#with (secret "kv1/app")}}{{user}}:{{password}}{{/with}}',
      '{{secret "secret/app#user"}}',
      '{{secret (concat "secret/apps/" (secret "secret/app#password") "#found")}}',
      '{{#each (secrets "kv1/")}}{{this}};{{/each}}',
    ].join('\n');
    const agent = await bench.start({ ...servers(vault), files: [{ name: 'all', template }] }, [
      '--once',
    ]);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await bench.file('all'), 'one:planted-kv1\ntwo\nby value\napp;');
    assert.equal(await vault.count('auth/jwt/login'), before + 1);
    assert.doesNotMatch(agent.output, /planted/);
  });

  test('a new version of a KV v2 secret reaches the file, the other file stays', async () => {
    await using bench = await AgentBench.create();
    const agent = await bench.start({
      ...servers(vault),
      files: [
        { name: 'one', secret: 'kv1/app#user', refresh: '1s' },
        { name: 'two', secret: 'secret/app#user', refresh: '1s' },
      ],
    });
    await bench.until('two', (text) => text === 'two');
    await vault.write('secret/data/app', { data: { user: 'three', password: 'planted-kv2' } });
    await bench.until('two', (text) => text === 'three');
    await agent.logged(/"changed":\["two"\]/);
    await vault.write('secret/data/app', { data: { user: 'two', password: 'planted-kv2' } });
  });

  test('a certificate is replaced before it ends, and not more often than due', async () => {
    await using bench = await AgentBench.create();
    const issued = await vault.count('pki/issue/web');
    const file = (name: string, key: string): object => ({
      name,
      template: `{{#with (pki "pki/issue/web" common_name="web.example.org" ttl="8s")}}{{${key}}}{{/with}}\n`,
    });
    await bench.start({
      ...servers(vault),
      files: [file('tls.crt', 'certificate'), file('tls.key', 'private_key')],
    });
    let last = new X509Certificate(await bench.until('tls.crt', () => true));
    for (let round = 0; round < 3; round += 1) {
      const known = last.serialNumber;
      const pem = await bench.until(
        'tls.crt',
        (text) => new X509Certificate(text).serialNumber !== known,
      );
      assert.ok(last.validToDate.getTime() > Date.now(), 'the old one was still good');
      last = new X509Certificate(pem);
    }
    const current = new X509Certificate(await bench.file('tls.crt'));
    assert.ok(current.checkPrivateKey(createPrivateKey(await bench.file('tls.key'))));
    const count = (await vault.count('pki/issue/web')) - issued;
    assert.ok(count <= 5, `${count} certificates for four periods`);
  });

  test('token revoked behind our back: one more login and nothing else', async () => {
    await using bench = await AgentBench.create();
    const agent = await bench.start({
      ...servers(vault),
      files: [{ name: 'two', secret: 'secret/app#user', refresh: '1s' }],
      stateDirectory: bench.stateDirectory,
    });
    await bench.until('two', (text) => text === 'two');
    const before = await vault.count('auth/jwt/login');
    const { readFile } = await import('node:fs/promises');
    const state = await readFile(`${bench.stateDirectory}/state.json`, 'utf8');
    const token = /"token":"([^"]+)"/.exec(state)?.[1] ?? '';
    await vault.write('auth/token/revoke', { token });
    await vault.write('secret/data/app', { data: { user: 'four', password: 'planted-kv2' } });
    await bench.until('two', (text) => text === 'four');
    assert.equal(await vault.count('auth/jwt/login'), before + 1);
    assert.doesNotMatch(agent.output, new RegExp(token.replace('.', '\\.')));
    await vault.write('secret/data/app', { data: { user: 'two', password: 'planted-kv2' } });
  });

  test('the end revokes the token', async () => {
    await using bench = await AgentBench.create();
    const agent = await bench.start({
      ...servers(vault),
      files: [{ name: 'two', secret: 'secret/app#user' }],
      stateDirectory: bench.stateDirectory,
    });
    await bench.until('two', () => true);
    const { readFile } = await import('node:fs/promises');
    const state = await readFile(`${bench.stateDirectory}/state.json`, 'utf8');
    const token = /"token":"([^"]+)"/.exec(state)?.[1] ?? '';
    assert.equal(await vault.statusAs(token, 'auth/token/lookup-self'), 200);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await vault.statusAs(token, 'auth/token/lookup-self'), 403);
  });

  test('role missing, audience wrong, role unknown: rejected with what to change', async () => {
    const refusal = async (auth: object): Promise<string> => {
      await using bench = await AgentBench.create();
      const agent = await bench.start({
        ...servers(vault),
        auth,
        files: [{ name: 'two', secret: 'secret/app' }],
        initDeadline: '8s',
      });
      assert.equal(await agent.exit(), 17, agent.output);
      return await agent.terminationMessage();
    };
    assert.match(await refusal({ role: 'engine', audience: 'other' }), /LOGIN_REFUSED.*audience/s);
    assert.match(await refusal({ role: 'nobody' }), /LOGIN_REFUSED.*nobody/s);
    assert.match(await refusal({}), /LOGIN_REFUSED.*role/s);
  });
});

suite('leases', () => {
  let vault: RealVault;

  before(async () => {
    // KV with leases: what the secret's `ttl` says, renewable, as a dynamic credential is.
    vault = await startRealVault(['-dev-leased-kv']);
    await vault.write('secret/creds', { ttl: '4s', password: 'planted-leased' });
    await openLogin(
      vault,
      [
        'path "secret/*" { capabilities = ["read"] }',
        'path "sys/leases/revoke" { capabilities = ["update"] }',
      ].join('\n'),
      { token_ttl: '1h' },
    );
  });

  after(async () => {
    await vault[Symbol.asyncDispose]();
  });

  const files = [{ name: 'creds', secret: 'secret/creds#password' }];

  test('a lease is renewed, not read again', async () => {
    await using bench = await AgentBench.create();
    const before = await vault.count('secret/creds', 'read');
    const renewals = await vault.count('sys/leases/renew');
    await bench.start({ ...servers(vault), files });
    await bench.until('creds', () => true);
    await eventually(
      async () => ((await vault.count('sys/leases/renew')) >= renewals + 3 ? true : undefined),
      'the lease was not renewed three times',
    );
    assert.equal(await vault.count('secret/creds', 'read'), before + 1);
  });

  test('lease revoked behind our back: replaced at once', async () => {
    await using bench = await AgentBench.create();
    await bench.start({ ...servers(vault), files });
    await bench.until('creds', () => true);
    const before = await vault.count('secret/creds', 'read');
    await vault.write('sys/leases/revoke-prefix/secret/creds');
    await eventually(
      async () => ((await vault.count('secret/creds', 'read')) > before ? true : undefined),
      'the secret was not read again',
    );
  });

  test('init and sidecar: one login, one credential, and the same lease goes on', async () => {
    await using bench = await AgentBench.create();
    const logins = await vault.count('auth/jwt/login');
    const reads = await vault.count('secret/creds', 'read');
    const renewals = await vault.count('sys/leases/renew');
    const document = { ...servers(vault), files, stateDirectory: bench.stateDirectory };
    const init = await bench.start(document, ['--once']);
    assert.equal(await init.exit(), 0, init.output);
    const sidecar = await bench.start(document);
    await eventually(
      async () => ((await vault.count('sys/leases/renew')) > renewals ? true : undefined),
      'the sidecar did not renew the lease',
    );
    assert.equal(await vault.count('auth/jwt/login'), logins + 1);
    assert.equal(await vault.count('secret/creds', 'read'), reads + 1);
    await sidecar.kill('SIGTERM');
    assert.doesNotMatch(init.output + sidecar.output, /planted/);
  });

  test('the sidecar of a pair, killed while the application ends: Vault ends token and lease in seconds', async () => {
    await using bench = await AgentBench.create();
    const document = { ...servers(vault), files, stateDirectory: bench.stateDirectory };
    const sidecar = await bench.start({ ...document, revokeDelay: '1h' });
    await bench.until('creds', () => true);
    await sidecar.logged(/files delivered/);
    const { readFile } = await import('node:fs/promises');
    const state = await readFile(`${bench.stateDirectory}/state.json`, 'utf8');
    const token = /"token":"([^"]+)"/.exec(state)?.[1] ?? '';
    const renewals = await vault.count('auth/token/renew-self');
    sidecar.send('SIGTERM');
    await eventually(
      async () => ((await vault.count('auth/token/renew-self')) > renewals ? true : undefined),
      'the token was not kept alive',
    );
    await sidecar.kill('SIGKILL');
    assert.equal(await vault.statusAs(token, 'auth/token/lookup-self'), 200, 'nobody revoked it');
    await eventually(
      async () =>
        (await vault.statusAs(token, 'auth/token/lookup-self')) === 403 ? true : undefined,
      'the token outlives the pod',
    );
  });

  test('killed and started again: no second login, no second credential', async () => {
    await using bench = await AgentBench.create();
    const document = { ...servers(vault), files, stateDirectory: bench.stateDirectory };
    const first = await bench.start(document);
    await bench.until('creds', () => true);
    await first.logged(/files delivered/);
    const logins = await vault.count('auth/jwt/login');
    const reads = await vault.count('secret/creds', 'read');
    const renewals = await vault.count('sys/leases/renew');
    await first.kill('SIGKILL');
    await bench.start(document);
    await eventually(
      async () => ((await vault.count('sys/leases/renew')) > renewals ? true : undefined),
      'the second agent did not renew the lease',
    );
    assert.equal(await vault.count('auth/jwt/login'), logins);
    assert.equal(await vault.count('secret/creds', 'read'), reads);
  });

  test('before the token ends a new login replaces token and lease, and the old ones are let go', async () => {
    await vault.write('auth/jwt/role/short', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: 'vault',
      bound_subject: SPIFFE_ID,
      token_policies: 'engine',
      token_ttl: '5s',
      token_max_ttl: '10s',
    });
    await using bench = await AgentBench.create();
    const before = (await vault.audited()).length;
    const agent = await bench.start({
      ...servers(vault),
      auth: { role: 'short' },
      files,
      revokeGrace: '0s',
      stateDirectory: bench.stateDirectory,
    });
    // Vault's own record of what came before what: how late the test looks at it does not matter.
    const asked = await eventually(async () => {
      const paths = (await vault.audited()).slice(before).map(({ path }) => path);
      const end = paths.indexOf('auth/token/revoke-self');
      return end < 0 ? undefined : paths.slice(0, end);
    }, 'the old token was not let go');
    const logins = asked.flatMap((path, at) => (path === 'auth/jwt/login' ? [at] : []));
    assert.ok([2, 3].includes(logins.length), asked.join(' '));
    const lastRead = asked.lastIndexOf('secret/creds');
    assert.ok(lastRead > (logins[1] ?? Infinity), 'make before break: the new lease came first');
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
  });
});
