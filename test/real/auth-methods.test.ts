/**
 * Every way to log in that the real Vault has, and every kind of token that it gives out. What was asked of
 * Vault is counted in its audit log.
 */
import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createTestCa } from '../../src/dev/ca/index.ts';
import { createTokenIssuer } from '../../src/dev/tokens/index.ts';
import { startOidcProvider } from '../../src/dev/workload-api/index.ts';
import { AgentBench, eventually } from '../helpers/agent-process.ts';
import { Hunt } from '../helpers/hunt.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import { openJwtLogin, startWorkload, writeJwtRole } from '../helpers/real-world.ts';
import type { Entry, Spire } from '../helpers/spire.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';
const POLICY = [
  'path "secret/*" { capabilities = ["read", "list"] }',
  'path "sys/leases/revoke" { capabilities = ["update"] }',
].join('\n');
const VALUE = 'planted-by-auth-methods';

const hunt = new Hunt();
hunt.plant(VALUE);

/** Replaces a file at once, as the kubelet does. */
async function replaceFile(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

/** The token that an agent uses, from the state that it keeps for a successor. */
async function tokenOf(bench: AgentBench): Promise<string> {
  const state = await readFile(join(bench.stateDirectory, 'state.json'), 'utf8').catch(() => '');
  return hunt.plant(/"token":"([^"]+)"/.exec(state)?.[1] ?? '');
}

suite('cert: X.509-SVIDs over TLS', () => {
  const servers = new AsyncDisposableStack();
  let vault: RealVault;
  let spire: Spire;
  const entry = { spiffeId: SPIFFE_ID, dnsNames: ['web.example.org'] };

  before(async () => {
    spire = servers.use(await startWorkload(entry));
    vault = servers.use(await startRealVault(['-dev-tls']));
    await vault.write('sys/policies/acl/web', { policy: POLICY });
    await vault.write('secret/data/app', { data: { password: VALUE } });
    await vault.write('sys/auth/cert', { type: 'cert' });
    await vault.write('auth/cert/certs/web', {
      certificate: await spire.authorities(),
      allowed_uri_sans: SPIFFE_ID,
      token_policies: 'web',
      // What is left of an old token when the SVID rotates is enough to revoke it, also on a busy machine.
      token_ttl: '8s',
      token_max_ttl: '1h',
    });
  });

  after(() => servers.disposeAsync());

  /** Registers another identity of the workload, and waits until there is its SVID. */
  async function registered(other: Entry): Promise<AsyncDisposable> {
    await spire.register(other);
    await spire.untilServed(other.spiffeId);
    return { [Symbol.asyncDispose]: () => spire.deregister(other.spiffeId) };
  }

  const document = (more: object = {}, spiffeId = SPIFFE_ID): object => ({
    spiffe: { socket: spire.socket, spiffeId },
    vault: { address: vault.address, caFile: vault.caFile },
    auth: { method: 'cert', role: 'web' },
    files: [{ name: 'password', secret: 'secret/app#password', format: 'raw', refresh: '1s' }],
    initDeadline: '8s',
    ...more,
  });

  test('the token is renewed on the certificate, and each rotation of the SVID is one login', async () => {
    await using bench = await AgentBench.create();
    const logins = await vault.count('auth/cert/login');
    const renewals = (): Promise<number> => vault.count('auth/token/renew-self');
    const agent = await bench.start(document({ stateDirectory: bench.stateDirectory }));
    assert.equal(await bench.until('password', () => true), VALUE);
    await eventually(
      async () => ((await renewals()) >= 2 ? true : undefined),
      'the token was not renewed twice',
    );
    assert.equal(await vault.count('auth/cert/login'), logins + 1);
    for (let rotation = 1; rotation <= 3; rotation += 1) {
      await tokenOf(bench);
      await spire.update({ ...entry, hint: `${rotation}` });
      await eventually(
        async () =>
          (await vault.count('auth/cert/login')) === logins + 1 + rotation ? true : undefined,
        'the rotated SVID did not log in',
      );
      const before = await renewals();
      await eventually(
        async () => ((await renewals()) > before ? true : undefined),
        'the new token was not renewed on the new certificate',
      );
    }
    assert.equal(await vault.count('auth/cert/login'), logins + 4, 'one login per rotation');
    const refused = (await vault.audited()).filter(({ path, error }) => error && path !== 'sys');
    assert.deepEqual(refused, [], 'Vault refused nothing');
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
    hunt.assertNone({ output: agent.output });
  });

  test('an agent that is started again renews its token on the certificate', async () => {
    await using bench = await AgentBench.create();
    const logins = await vault.count('auth/cert/login');
    const given = document({ stateDirectory: bench.stateDirectory });
    const killed = await bench.start(given);
    await killed.logged(/files delivered/);
    await tokenOf(bench);
    await killed.kill('SIGKILL');
    const renewals = await vault.count('auth/token/renew-self');
    const next = await bench.start(given);
    await eventually(
      async () => ((await vault.count('auth/token/renew-self')) > renewals ? true : undefined),
      'the token was not renewed',
    );
    assert.equal(await vault.count('auth/cert/login'), logins + 1);
    await next.kill('SIGTERM');
    assert.doesNotMatch(next.output, /"level":"(warn|error)"/);
    hunt.assertNone({ output: killed.output + next.output });
  });

  test('an SVID without common name, as SPIRE makes them by default, is rejected with the remedy', async () => {
    const plain = 'spiffe://example.org/ns/default/sa/plain';
    await using _ = await registered({ spiffeId: plain });
    await vault.write('auth/cert/certs/plain', {
      certificate: await spire.authorities(),
      allowed_uri_sans: plain,
    });
    await using bench = await AgentBench.create();
    const auth = { method: 'cert', role: 'plain' };
    const agent = await bench.start(document({ auth }, plain));
    assert.equal(await agent.exit(), 17);
    const message = await agent.terminationMessage();
    assert.match(message, /LOGIN_REFUSED.*role "plain".*no common name.*DNS name/);
    hunt.assertNone({ output: agent.output, message });
  });

  test('the SPIFFE ID of somebody else and the CA of somebody else are rejected with the remedy', async () => {
    const refusal = async (identity: string, isForeign: boolean): Promise<string> => {
      await vault.write('auth/cert/certs/other', {
        certificate: isForeign ? createTestCa().caPem : await spire.authorities(),
        allowed_uri_sans: SPIFFE_ID,
      });
      await using bench = await AgentBench.create();
      const auth = { method: 'cert', role: 'other' };
      const agent = await bench.start(document({ auth }, identity));
      assert.equal(await agent.exit(), 17);
      hunt.assertNone({ output: agent.output });
      return await agent.terminationMessage();
    };
    const other = 'spiffe://example.org/other';
    await using _ = await registered({ ...entry, spiffeId: other });
    const remedy = /LOGIN_REFUSED.*role "other".*compare its SPIFFE ID and CA with the role/;
    assert.match(await refusal(other, false), remedy);
    assert.match(await refusal(SPIFFE_ID, true), remedy);
  });

  test('a TLS server name that Vault has not, and a CA that did not sign, are named', async () => {
    const refusal = async (connection: object): Promise<string> => {
      await using bench = await AgentBench.create();
      const agent = await bench.start(
        document({ vault: { address: vault.address, ...connection } }),
      );
      assert.equal(await agent.exit(), 17);
      return await agent.terminationMessage();
    };
    const named = await refusal({ caFile: vault.caFile, tlsServerName: 'vault.example.org' });
    assert.match(named, /VAULT_TLS.*another name; set the TLS server name/);
    const { caPem } = createTestCa();
    assert.match(await refusal({ caPem }), /VAULT_TLS.*CA/);
    assert.match(await refusal({}), /VAULT_TLS.*set the CA/);
    await using bench = await AgentBench.create();
    const agent = await bench.start(
      document({
        vault: { address: vault.address, caFile: vault.caFile, tlsServerName: 'localhost' },
      }),
      ['--once'],
    );
    assert.equal(await agent.exit(), 0, agent.output);
  });
});

suite('jwt: SVIDs and token files', () => {
  const servers = new AsyncDisposableStack();
  let vault: RealVault;
  let leasing: RealVault;
  let spire: Spire;
  const accounts = createTokenIssuer();

  before(async () => {
    spire = servers.use(await startWorkload({ spiffeId: SPIFFE_ID }));
    vault = servers.use(await startRealVault());
    await vault.write('secret/data/app', { data: { password: VALUE } });
    // KV with leases: what the secret's `ttl` says, renewable, as a dynamic credential is.
    leasing = servers.use(await startRealVault(['-dev-leased-kv']));
    await leasing.write('secret/leased', { ttl: '4s', password: VALUE });
    for (const server of [vault, leasing]) {
      for (const mount of ['jwt', 'team/jwt', 'accounts']) {
        const more = { token_ttl: '1h' };
        await openJwtLogin(server, spire, { mount, role: 'web', policy: POLICY, more });
      }
    }
    // The tokens of service accounts are not SPIRE's.
    const kubernetes = servers.use(await startOidcProvider({ jwks: () => accounts.jwks() }));
    await vault.write('auth/accounts/config', { jwks_url: `${kubernetes.url}/keys` });
  });

  after(() => servers.disposeAsync());

  async function role(server: RealVault, name: string, more: object): Promise<void> {
    await writeJwtRole(server, name, { token_policies: 'web', token_ttl: '1h', ...more });
  }

  const document = (bench: AgentBench, auth: object, server = vault): object => ({
    spiffe: { socket: spire.socket },
    vault: { address: server.address },
    stateDirectory: bench.stateDirectory,
    revokeGrace: '500ms',
    auth,
    files: [
      server === vault
        ? { name: 'password', secret: 'secret/app#password', format: 'raw', refresh: '1s' }
        : { name: 'leased', secret: 'secret/leased#password', format: 'raw' },
    ],
  });

  /** Waits until this path has been asked so many times. */
  async function asked(server: RealVault, path: string, count: number): Promise<void> {
    await eventually(
      async () => ((await server.count(path)) >= count ? true : undefined),
      `${path} was not asked ${count} times`,
    );
  }

  test('custom mounts with slashes, with or without auth/', async () => {
    for (const mount of ['team/jwt', 'auth/team/jwt', '/auth/team/jwt/']) {
      await using bench = await AgentBench.create();
      const logins = await vault.count('auth/team/jwt/login');
      const agent = await bench.start(document(bench, { mount, role: 'web' }), ['--once']);
      assert.equal(await agent.exit(), 0, agent.output);
      assert.equal(await bench.file('password'), VALUE);
      assert.equal(await vault.count('auth/team/jwt/login'), logins + 1);
    }
  });

  test('a token file is read again at each login', async () => {
    await using bench = await AgentBench.create();
    const tokenFile = join(bench.directory, 'token');
    const account = { subject: 'system:serviceaccount:default:web', audience: 'vault' };
    const mint = async (ttlMs: number): Promise<string> =>
      hunt.plant(await accounts.mint({ ...account, ttlMs }));
    await replaceFile(tokenFile, `${await mint(600_000)}\n`);
    const logins = await vault.count('auth/accounts/login');
    const auth = { mount: 'accounts', role: 'web', tokenFile };
    const agent = await bench.start(document(bench, auth));
    await bench.until('password', (text) => text === VALUE);
    // An old token in the file: the next login fails, until the kubelet has replaced it.
    await replaceFile(tokenFile, await mint(-120_000));
    await vault.write('auth/token/revoke', { token: await tokenOf(bench) });
    await agent.logged(/LOGIN_REFUSED.*expired/);
    await replaceFile(tokenFile, await mint(600_000));
    await agent.logged(/"session":2.*logged in to vault/);
    assert.equal(await bench.file('password'), VALUE);
    assert.ok((await vault.count('auth/accounts/login')) - logins <= 8, 'bounded by backoff');
    await agent.kill('SIGTERM');
    hunt.assertNone({ output: agent.output });
  });

  test('a token file that is missing, empty or no JWT is named', async () => {
    for (const content of [undefined, '', 'not a token']) {
      await using bench = await AgentBench.create();
      const tokenFile = join(bench.directory, 'token');
      if (content !== undefined) await replaceFile(tokenFile, content);
      const agent = await bench.start({
        ...document(bench, { role: 'web', tokenFile }),
        initDeadline: '8s',
      });
      assert.equal(await agent.exit(), 17);
      const message = await agent.terminationMessage();
      assert.match(message, /ERR_VAULT_TOKEN_FILE/);
      assert.ok(message.includes(tokenFile));
    }
  });

  test('a batch token: its leases end with it, so both are replaced in time, and it is not revoked in vain', async () => {
    await role(leasing, 'batch', { token_type: 'batch', token_ttl: '6s' });
    await using bench = await AgentBench.create();
    const logins = await leasing.count('auth/jwt/login');
    const revocations = await leasing.count('auth/token/revoke');
    const agent = await bench.start(document(bench, { role: 'batch' }, leasing));
    await bench.until('leased', (text) => text === VALUE);
    await asked(leasing, 'auth/jwt/login', logins + 3);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
    assert.equal(
      await leasing.count('auth/token/revoke'),
      revocations,
      'batch tokens cannot be revoked',
    );
    hunt.assertNone({ output: agent.output });
  });

  test('a token with few uses is warned of, and replaced when it is used up', async () => {
    await role(vault, 'uses', { token_num_uses: 3 });
    await using bench = await AgentBench.create();
    const logins = await vault.count('auth/jwt/login');
    const agent = await bench.start(document(bench, { role: 'uses' }));
    await agent.logged(/limited number of uses; set token_num_uses of the role to 0/);
    await bench.until('password', (text) => text === VALUE);
    await asked(vault, 'auth/jwt/login', logins + 2);
    await vault.write('secret/data/app', { data: { password: 'planted-changed' } });
    await bench.until('password', (text) => text === 'planted-changed');
    await vault.write('secret/data/app', { data: { password: VALUE } });
    await bench.until('password', (text) => text === VALUE);
    await agent.kill('SIGTERM');
    hunt.assertNone({ output: agent.output });
  });

  test('a periodic token is renewed for ever', async () => {
    await role(leasing, 'periodic', { token_period: '3s', token_ttl: 0 });
    await using bench = await AgentBench.create();
    const logins = await leasing.count('auth/jwt/login');
    const renewals = await leasing.count('auth/token/renew-self');
    const agent = await bench.start(document(bench, { role: 'periodic' }, leasing));
    await bench.until('leased', (text) => text === VALUE);
    await asked(leasing, 'auth/token/renew-self', renewals + 4);
    assert.equal(await leasing.count('auth/jwt/login'), logins + 1);
    await agent.kill('SIGTERM');
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
  });

  test('a token with an explicit max TTL is replaced before that', async () => {
    await role(leasing, 'explicit', { token_ttl: '4s', token_explicit_max_ttl: '7s' });
    await using bench = await AgentBench.create();
    const logins = await leasing.count('auth/jwt/login');
    const agent = await bench.start(document(bench, { role: 'explicit' }, leasing));
    await bench.until('leased', (text) => text === VALUE);
    const started = performance.now();
    await asked(leasing, 'auth/jwt/login', logins + 3);
    assert.ok(performance.now() - started > 5000, 'not more often than due');
    await agent.kill('SIGTERM');
    assert.doesNotMatch(agent.output, /"level":"(warn|error)"/);
    hunt.assertNone({ output: agent.output });
  });
});
