/**
 * The set-ups that people run today, with their own names and values, against the real SPIRE and the real Vault. The
 * manifests are those of manifests/examples. A node attests by join token, a workload by its user.
 */
import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createTestCa } from '../../src/dev/ca/index.ts';
import { createTokenIssuer } from '../../src/dev/tokens/index.ts';
import { startOidcProvider } from '../../src/dev/workload-api/index.ts';
import { AgentBench, eventually } from '../helpers/agent-process.ts';
import { admitExample, ExamplePod } from '../helpers/example.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';
import { startSpire, type Entry, type Spire } from '../helpers/spire.ts';

const servers = new AsyncDisposableStack();
let vault: RealVault;
/** The trust domain `example.org`, whose node is the machine outside the cluster as well. */
let spire: Spire;

before(async () => {
  spire = servers.use(await startSpire({ node: 'myagent' }));
  vault = servers.use(await startRealVault());
  // The dev server mounts KV version 2 at secret/; these systems have version 1 there.
  await vault.write('sys/remount', { from: 'secret', to: 'secret-v2' });
  await eventually(async () => {
    const mounts = await vault.read('sys/mounts');
    return 'secret/' in mounts ? undefined : true;
  }, 'the mount did not move');
  await vault.write('sys/mounts/secret', { type: 'kv', options: { version: '1' } });
});

after(() => servers.disposeAsync());

/** Registers for as long as a test runs, and waits until the node has the SVID. */
async function registered(entry: Entry, where = spire): Promise<AsyncDisposable> {
  await where.register(entry);
  await where.untilServed(entry.spiffeId);
  return { [Symbol.asyncDispose]: () => where.deregister(entry.spiffeId) };
}

/** Opens an auth mount of its own for one test; `name` is where it is. */
async function jwtAuth(name: string, config: object, roles: Record<string, object>): Promise<void> {
  await vault.write(`sys/auth/${name}`, { type: 'jwt' });
  await vault.write(`auth/${name}/config`, config);
  for (const [role, body] of Object.entries(roles)) {
    await vault.write(`auth/${name}/role/${role}`, body);
  }
}

async function removeAuth(name: string): Promise<void> {
  await fetch(`${vault.address}/v1/sys/auth/${name}`, {
    method: 'DELETE',
    headers: { 'X-Vault-Token': vault.token },
  });
}

suite('1. SPIRE as OIDC provider for Vault', () => {
  const spiffeId = 'spiffe://example.org/ns/default/sa/default';

  test('audience TESTING, the default role dev, KV v1 secret/my-super-secret', async () => {
    await using _ = await registered({ spiffeId });
    await vault.write('secret/my-super-secret', { test: '123' });
    await vault.write('sys/policies/acl/my-dev-policy', {
      policy: 'path "secret/my-super-secret" { capabilities = ["read"] }',
    });
    await jwtAuth(
      'jwt',
      { oidc_discovery_url: spire.issuer, default_role: 'dev' },
      {
        dev: {
          role_type: 'jwt',
          user_claim: 'sub',
          bound_audiences: 'TESTING',
          bound_subject: spiffeId,
          token_ttl: '24h',
          token_policies: 'my-dev-policy',
        },
      },
    );
    try {
      const before = await vault.count('auth/jwt/login');
      await using pod = await ExamplePod.start(await admitExample('01-spire-oidc'), {
        vaultAddress: vault.address,
        socket: spire.socket,
      });
      assert.equal(await pod.file('my-super-secret'), 'test=123\n');
      // KV v1 is "leased" for 768 hours by Vault, but a change is seen on Vouchsafe's own schedule.
      await vault.write('secret/my-super-secret', { test: '456' });
      await pod.file('my-super-secret', (text) => text === 'test=456\n');
      assert.equal(await vault.count('auth/jwt/login'), before + 1);
    } finally {
      await removeAuth('jwt');
    }
  });

  test('with a bound issuer, which is the one of the discovery document', async () => {
    await using _ = await registered({ spiffeId });
    await vault.write('secret/my-super-secret', { test: '123' });
    await jwtAuth(
      'jwt-discovery',
      { oidc_discovery_url: spire.issuer, bound_issuer: spire.issuer, default_role: 'dev' },
      {
        dev: {
          role_type: 'jwt',
          user_claim: 'sub',
          bound_audiences: 'TESTING',
          bound_subject: spiffeId,
          token_policies: 'my-dev-policy',
        },
      },
    );
    await using bench = await AgentBench.create();
    const agent = await bench.start(
      {
        spiffe: { socket: spire.socket },
        vault: { address: vault.address },
        auth: { mount: 'jwt-discovery', audience: 'TESTING' },
        files: [{ name: 'test', secret: 'secret/my-super-secret#test' }],
      },
      ['--once'],
    );
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(await bench.file('test'), '123');
  });
});

suite('2. The API server as OIDC provider: no SPIRE', () => {
  const subject = 'system:serviceaccount:default:vault-writer';

  async function apiServer(): Promise<{
    issuer: string;
    token: (audience: string) => Promise<string>;
    close: () => Promise<void>;
  }> {
    const ca = createTestCa();
    const accounts = createTokenIssuer();
    const oidc = await startOidcProvider({
      jwks: () => accounts.jwks(),
      tls: ca.issue(),
    });
    await jwtAuth(
      'jwt',
      {
        oidc_discovery_url: oidc.issuer,
        oidc_discovery_ca_pem: ca.caPem,
        default_role: 'k8s-dev',
      },
      {
        'k8s-dev': {
          bound_subject: subject,
          bound_audiences: 'vault-dev',
          user_claim: 'sub',
          policies: 'k8s-dev-writer',
          role_type: 'jwt',
          ttl: '1h',
        },
      },
    );
    return {
      issuer: oidc.issuer,
      token: (audience) =>
        accounts.mint({ issuer: oidc.issuer, subject, audience, ttlMs: 3_600_000 }),
      close: async () => {
        await removeAuth('jwt');
        await oidc.close();
      },
    };
  }

  before(async () => {
    await vault.write('sys/mounts/kvv2', { type: 'kv', options: { version: '2' } });
    await vault.write('sys/policies/acl/k8s-dev-writer', {
      policy: [
        'path "kvv2/metadata/k8s-dev/*" { capabilities = ["list"] }',
        'path "kvv2/data/k8s-dev/*" { capabilities = ["create", "read", "update"] }',
      ].join('\n'),
    });
    await eventually(
      () => vault.write('kvv2/data/k8s-dev/foo', { data: { bar: 'baz' } }).catch(() => undefined),
      'KV v2 did not come up',
    );
    await vault.write('kvv2/data/some-secret', { data: { not: 'yours' } });
  });

  test('a projected token for the audience vault-dev, role k8s-dev, KV v2 kvv2/k8s-dev/foo', async () => {
    const server = await apiServer();
    try {
      await using pod = await ExamplePod.start(await admitExample('02-service-account'), {
        vaultAddress: vault.address,
        socket: 'unix:///none.sock',
        serviceAccountToken: server.token,
      });
      assert.deepEqual(JSON.parse(await pod.file('foo')), { bar: 'baz' });
    } finally {
      await server.close();
    }
  });

  test('outside the policy: 403 that names path, role and mount, and the pod says so', async () => {
    const server = await apiServer();
    try {
      await using bench = await AgentBench.create();
      const { writeFile } = await import('node:fs/promises');
      const tokenFile = join(bench.directory, 'token');
      await writeFile(tokenFile, await server.token('vault-dev'));
      const agent = await bench.start({
        vault: { address: vault.address },
        auth: { method: 'jwt', audience: 'vault-dev', role: 'k8s-dev', tokenFile },
        files: [{ name: 'other', secret: 'kvv2/some-secret' }],
        initDeadline: '3s',
      });
      assert.equal(await agent.exit(), 17);
      const message = await agent.terminationMessage();
      assert.match(message, /ERR_AGENT_DEADLINE/);
      assert.match(message, /ERR_VAULT_DENIED/);
      assert.match(message, /kvv2\/some-secret/);
      assert.match(message, /k8s-dev/);
      assert.match(message, /jwt/);
    } finally {
      await server.close();
    }
  });
});

suite('3. A machine outside the cluster', () => {
  test('X.509-SVID files under names of its choice, kept fresh, and a secret', async () => {
    const spiffeId = 'spiffe://example.org/myservice';
    const entry = { spiffeId, x509TtlSeconds: 3600 };
    await using _ = await registered(entry);
    await vault.write('secret/myservice', { password: 'machine' });
    await vault.write('sys/policies/acl/myservice', {
      policy: 'path "secret/myservice" { capabilities = ["read"] }',
    });
    await jwtAuth(
      'jwt-machine',
      { jwks_url: spire.jwksUrl },
      {
        myservice: {
          role_type: 'jwt',
          user_claim: 'sub',
          bound_audiences: 'vault',
          bound_subject: spiffeId,
          token_policies: 'myservice',
        },
      },
    );
    const example = new URL('../../manifests/examples/03-outside-cluster/', import.meta.url);
    const document = JSON.parse(await readFile(new URL('agent.json', example), 'utf8')) as {
      x509Svid: object;
    };
    await using bench = await AgentBench.create();
    const agent = await bench.start({
      spiffe: { socket: spire.socket, spiffeId },
      vault: { address: vault.address },
      auth: { mount: 'jwt-machine', role: 'myservice' },
      files: [
        { name: 'database', path: 'database.env', secret: 'secret/myservice', format: 'env' },
      ],
      x509Svid: document.x509Svid,
      stateDirectory: bench.stateDirectory,
    });
    assert.equal(await bench.until('database.env', () => true), 'password=machine\n');
    const first = await bench.file('svid.0.pem');
    assert.equal(new X509Certificate(first).subjectAltName, `URI:${spiffeId}`);
    assert.ok(
      new X509Certificate(first).checkPrivateKey(createPrivateKey(await bench.file('svid.0.key'))),
    );
    assert.ok(
      new X509Certificate(first).verify(
        new X509Certificate(await bench.file('bundle.0.pem')).publicKey,
      ),
    );
    assert.equal((await stat(join(bench.output, 'svid.0.key'))).mode & 0o777, 0o600);
    const { publicKey, validFromDate, validToDate } = new X509Certificate(first);
    assert.deepEqual(publicKey.asymmetricKeyDetails, { namedCurve: 'prime256v1' });
    const seconds = (validToDate.getTime() - validFromDate.getTime()) / 1000;
    assert.equal(Math.round(seconds / 60), 60);
    // Nobody waits half an hour here: SPIRE replaces it now, and the shorter ones after it at half of their life.
    await spire.update({ ...entry, x509TtlSeconds: 20 });
    const second = await bench.until('svid.0.pem', (text) => text !== first);
    await bench.until('svid.0.pem', (text) => text !== second);
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
  });
});

suite('4. OpenShift: Entra ID and Vault from one identity', () => {
  test('a federated token file with life left, the variables of the SDK, and KV v1 by a glob role', async () => {
    const spiffeId = 'spiffe://apps.example.org/ns/demo/sa/client';
    const ca = createTestCa();
    await using spire = await startSpire({
      trustDomain: 'apps.example.org',
      discoveryTls: { caPem: ca.caPem, ...ca.issue() },
    });
    await using _ = await registered({ spiffeId }, spire);
    await vault.write('secret/ztwim', { version: 'v0.1.0' });
    await vault.write('sys/policies/acl/ztwim-policy', {
      policy: 'path "secret/ztwim" { capabilities = ["read"] }',
    });
    await jwtAuth(
      'jwt',
      {
        oidc_discovery_url: spire.issuer,
        oidc_discovery_ca_pem: ca.caPem,
        default_role: 'ztwim-role',
      },
      {
        'ztwim-role': {
          role_type: 'jwt',
          user_claim: 'sub',
          bound_audiences: 'client',
          bound_claims_type: 'glob',
          bound_claims: { sub: 'spiffe://apps.example.org/ns/demo/sa/client' },
          token_ttl: '24h',
          token_policies: 'ztwim-policy',
        },
      },
    );
    try {
      const admitted = await admitExample('04-federation-azure');
      const env = new Map(
        admitted.spec.containers[0]?.env?.map(({ name, value }) => [name, value]) ?? [],
      );
      assert.equal(env.get('AZURE_FEDERATED_TOKEN_FILE'), '/vault/secrets/azure-identity-token');
      assert.equal(env.get('AZURE_CLIENT_ID'), '00000000-0000-0000-0000-000000000001');
      assert.equal(env.get('AZURE_TENANT_ID'), '00000000-0000-0000-0000-000000000002');
      assert.match(env.get('AZURE_AUTHORITY_HOST') ?? '', /^https:\/\/login\.microsoftonline\.com/);
      await using pod = await ExamplePod.start(admitted, {
        vaultAddress: vault.address,
        socket: spire.socket,
      });
      assert.deepEqual(JSON.parse(await pod.file('ztwim')), { version: 'v0.1.0' });
      const first = await pod.file('azure-identity-token');
      const claims = claimsOf(first);
      assert.deepEqual(claims['aud'], ['api://AzureADTokenExchange']);
      assert.equal(claims['sub'], spiffeId);
      assert.equal(claims['iss'], spire.issuer);
      const next = await pod.file('azure-identity-token', (text) => text !== first);
      const expiresAtMs = Number(claimsOf(first)['exp']) * 1000;
      assert.ok(expiresAtMs > Date.now(), 'replaced while the old token had life left');
      assert.ok(Number(claimsOf(next)['exp']) * 1000 > expiresAtMs);
    } finally {
      await removeAuth('jwt');
    }
  });
});

suite('5. What a Vault Agent patched with SPIFFE auto-auth did', () => {
  test('short SVIDs rotate many times without another login', async () => {
    const spiffeId = 'spiffe://example.org/your-workload';
    const entry = { spiffeId, x509TtlSeconds: 60, jwtTtlSeconds: 60 };
    await using _ = await registered(entry);
    await vault.write('secret/your-workload', { password: 'one' });
    await vault.write('sys/policies/acl/your-policy', {
      policy: 'path "secret/your-workload" { capabilities = ["read"] }',
    });
    await jwtAuth(
      'jwt',
      { jwks_url: spire.jwksUrl },
      {
        'my-spiffe-role': {
          role_type: 'jwt',
          user_claim: 'sub',
          bound_claims: { sub: [spiffeId] },
          bound_audiences: 'vault',
          policies: 'your-policy',
        },
      },
    );
    try {
      const before = await vault.count('auth/jwt/login');
      await using pod = await ExamplePod.start(await admitExample('05-vault-agent-spiffe'), {
        vaultAddress: vault.address,
        socket: spire.socket,
      });
      await pod.file('config', (text) => text.includes('one'));
      for (const [round, password] of ['two', 'three', 'four'].entries()) {
        await spire.update({ ...entry, hint: password }); // a new X.509-SVID
        if (round === 1) await spire.rotateJwtKey();
        await vault.write('secret/your-workload', { password });
        await pod.file('config', (text) => text.includes(password));
      }
      assert.equal(await vault.count('auth/jwt/login'), before + 1, 'one login for all rotations');
    } finally {
      await removeAuth('jwt');
    }
  });

  test('its trouble list is answered: no entry, wrong role, no agent, no socket', async () => {
    const spiffeId = 'spiffe://example.org/other-workload';
    await jwtAuth(
      'jwt-trouble',
      { jwks_url: spire.jwksUrl },
      {
        'my-spiffe-role': {
          role_type: 'jwt',
          user_claim: 'sub',
          bound_claims: { sub: ['spiffe://example.org/your-workload'] },
          bound_audiences: 'vault',
          policies: 'your-policy',
        },
      },
    );
    const failure = async (socket: string): Promise<string> => {
      await using bench = await AgentBench.create();
      const agent = await bench.start({
        spiffe: { socket },
        vault: { address: vault.address },
        auth: { mount: 'jwt-trouble', role: 'my-spiffe-role' },
        files: [{ name: 'config', secret: 'secret/your-workload' }],
        initDeadline: '8s',
      });
      assert.equal(await agent.exit(), 17, agent.output);
      return await agent.terminationMessage();
    };
    assert.match(await failure(spire.socket), /ERR_SPIFFE_DENIED/);
    await using _ = await registered({ spiffeId });
    assert.match(await failure(spire.socket), /ERR_VAULT_LOGIN_REFUSED.*my-spiffe-role/s);
    await spire.stop('spire-agent');
    try {
      assert.match(await failure(spire.socket), /ERR_SPIFFE_UNAVAILABLE.*SPIRE agent/s);
    } finally {
      await spire.resume('spire-agent');
    }
    assert.match(await failure('unix:///nowhere/api.sock'), /ERR_SPIFFE_UNAVAILABLE.*nowhere/s);
  });
});

function claimsOf(token: string): Record<string, unknown> {
  const [, payload = ''] = token.split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
}
