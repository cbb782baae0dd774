/**
 * One agent with several logins: two Vaults, two roles, and a token of its own for each. What was asked of each Vault is
 * counted in its audit log.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import {
  startOidcProvider,
  startWorkloadApi,
  type DevWorkloadApi,
} from '../../src/dev/workload-api/index.ts';
import { AgentBench, eventually, type RunningAgent } from '../helpers/agent-process.ts';
import { startRealVault, type RealVault } from '../helpers/real-vault.ts';

const SPIFFE_ID = 'spiffe://example.org/ns/default/sa/web';

/** The policy of a role: its own path, and nothing of the others. */
const policyOf = (path: string): string => `path "secret/data/${path}" { capabilities = ["read"] }`;

suite('two Vaults and two roles in one agent', () => {
  const stack = new AsyncDisposableStack();
  let api: DevWorkloadApi;
  let own: RealVault;
  let other: RealVault;

  before(async () => {
    api = stack.use(await startWorkloadApi({ identities: [{ spiffeId: SPIFFE_ID }] }));
    const oidc = stack.use(await startOidcProvider({ jwks: () => ({ keys: api.jwks().keys }) }));
    own = stack.use(await startRealVault());
    other = stack.use(await startRealVault());
    for (const vault of [own, other]) {
      await vault.write('sys/auth/jwt', { type: 'jwt' });
      await vault.write('auth/jwt/config', { jwks_url: `${oidc.url}/keys` });
    }
    await openRole(own, 'web');
    await openRole(own, 'admin');
    await openRole(other, 'reports');
    await put(own, 'web', 'web-1');
    await put(own, 'admin', 'admin-1');
    await put(other, 'reports', 'reports-1');
  });

  after(() => stack.disposeAsync());

  /** A role that reads the path of its name. */
  async function openRole(vault: RealVault, name: string): Promise<void> {
    await vault.write(`sys/policies/acl/${name}`, { policy: policyOf(name) });
    await vault.write(`auth/jwt/role/${name}`, {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: 'vault',
      bound_subject: SPIFFE_ID,
      token_policies: name,
      token_ttl: '1h',
    });
  }

  async function put(vault: RealVault, path: string, value: string): Promise<void> {
    await vault.write(`secret/data/${path}`, { data: { value } });
  }

  const file = (name: string, login?: string): object => ({
    name,
    secret: `secret/${name}#value`,
    format: 'raw',
    refresh: '1s',
    ...(login !== undefined && { login }),
  });

  const start = (bench: AgentBench, more: object = {}): Promise<RunningAgent> =>
    bench.start({
      spiffe: { socket: api.address },
      vault: { address: own.address },
      auth: { role: 'web' },
      logins: [
        { name: 'own/admin', auth: { role: 'admin' } },
        { name: 'other/reports', vault: { address: other.address }, auth: { role: 'reports' } },
      ],
      files: [file('web'), file('admin', 'own/admin'), file('reports', 'other/reports')],
      initDeadline: '30s',
      listen: '127.0.0.1:0',
      ...more,
    });

  /** Every token but the root token. */
  async function tokensAt(vault: RealVault): Promise<number> {
    return (await vault.list('auth/token/accessors')).length - 1;
  }

  const logins = (): Promise<readonly number[]> =>
    Promise.all([own, other].map((vault) => vault.count('auth/jwt/login')));

  test('each file is read by its own identity, one Vault down does not stop the other, and all is revoked', async () => {
    await using bench = await AgentBench.create();
    const before = await logins();
    const agent = await start(bench);
    for (const name of ['web', 'admin', 'reports']) {
      assert.equal(await bench.until(name, () => true), `${name}-1`);
    }
    assert.deepEqual(
      (await logins()).map((count, index) => count - (before[index] ?? 0)),
      [2, 1],
      'one login for each role of each Vault',
    );
    await other.seal();
    await put(own, 'web', 'web-2');
    await bench.until('web', (text) => text === 'web-2');
    await put(own, 'admin', 'admin-2');
    await bench.until('admin', (text) => text === 'admin-2');
    assert.equal(await bench.file('reports'), 'reports-1', 'the last good one stays');
    await other.unseal();
    await put(other, 'reports', 'reports-2');
    await bench.until('reports', (text) => text === 'reports-2');
    await agent.kill('SIGTERM');
    assert.equal(await agent.exit(), 0, agent.output);
    assert.deepEqual([await tokensAt(own), await tokensAt(other)], [0, 0]);
  });

  test('a role cannot read the path of another one, and the error names login and role', async () => {
    await using bench = await AgentBench.create();
    const agent = await start(bench, {
      files: [file('web'), { ...file('web', 'own/admin'), name: 'stolen' }],
    });
    assert.notEqual(await agent.exit(), 0);
    assert.match(agent.output, /secret\/web is not for role admin of auth\/jwt/);
    await eventually(
      async () => ((await tokensAt(own)) === 0 ? true : undefined),
      'tokens are left',
    );
  });

  test('a Vault that cannot be reached at the start is named, and the token of the other is revoked', async () => {
    await using bench = await AgentBench.create();
    const vault = { address: 'http://127.0.0.1:1' };
    const agent = await start(bench, {
      logins: [{ name: 'other/reports', vault, auth: { role: 'reports' } }],
      files: [file('web'), file('reports', 'other/reports')],
      initDeadline: '15s',
    });
    assert.notEqual(await agent.exit(), 0);
    assert.match(agent.output, /127\.0\.0\.1:1/);
    assert.equal(await tokensAt(own), 0);
  });
});
