/**
 * Connections and logins that the community edition of Vault cannot show: namespaces, SPIFFE and Kubernetes
 * auth; and a CA that is replaced while the agent runs.
 */
import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { exportSPKI, importJWK } from 'jose';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { createTokenIssuer } from '../../../src/dev/tokens/index.ts';
import { FaultWorld } from '../../helpers/fault-world.ts';

/** Replaces a file at once, as the kubelet does. */
async function replaceFile(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

// Most of their time is waiting.
suite('connections', { concurrency: 4 }, () => {
  test('spiffe: the JWT-SVID is the bearer, and is not seen', async () => {
    await using world = await FaultWorld.start();
    await world.vault.write('sys/auth/spiffe', { type: 'spiffe' });
    await world.vault.write('auth/spiffe/config', {
      trust_domain: 'example.org',
      profile: 'static',
      audience: 'vault',
      bundle: JSON.stringify(world.api.jwks()),
    });
    await world.vault.write('auth/spiffe/role/web', {
      workload_id_patterns: ['ns/+/sa/web'],
      token_policies: ['web'],
      token_ttl: '1h',
    });
    const agent = await world.agent({ auth: { method: 'spiffe', role: 'web' } }, ['--once']);
    assert.equal(await agent.exit(), 0, agent.output);
    assert.equal(world.vault.count({ path: 'auth/spiffe/login' }), 1);
  });

  test('kubernetes: by the service-account token of the pod', async () => {
    await using world = await FaultWorld.start();
    const issuer = createTokenIssuer();
    const [jwk] = issuer.jwks().keys;
    const key = await importJWK({ ...jwk }, 'ES256');
    assert.ok(!(key instanceof Uint8Array));
    await world.vault.write('sys/auth/team/k8s', { type: 'kubernetes' });
    await world.vault.write('auth/team/k8s/config', {
      kubernetes_host: 'https://127.0.0.1:1',
      pem_keys: [await exportSPKI(key)],
    });
    await world.vault.write('auth/team/k8s/role/web', {
      bound_service_account_names: 'web',
      bound_service_account_namespaces: 'default',
      audience: 'vault',
      token_policies: ['web'],
      token_ttl: '1h',
    });
    const tokenFile = join(world.bench.directory, 'token');
    const token = async (name: string): Promise<string> =>
      await issuer.mint({
        subject: `system:serviceaccount:default:${name}`,
        audience: 'vault',
        claims: { 'kubernetes.io': { namespace: 'default', serviceaccount: { name, uid: 'u' } } },
      });
    await replaceFile(tokenFile, await token('other'));
    const auth = { method: 'kubernetes', mount: 'team/k8s', role: 'web', tokenFile };
    const agent = await world.agent({ auth, spiffe: undefined });
    await agent.logged(/LOGIN_REFUSED.*bound to another identity .*service account/);
    await replaceFile(tokenFile, await token('web'));
    await world.delivered(1);
    await world.search(agent);
  });

  test('a namespace: login, reads and revocation are all in it', async () => {
    await using world = await FaultWorld.start();
    const { vault } = world;
    // The embedded Vault has no namespaces: what is outside of this one does not exist.
    vault.faults.add({
      match: ({ namespace }) => namespace !== 'team/a',
      respond: { status: 404, body: { errors: ['no handler for route'] } },
    });
    const agent = await world.agent({ vault: { address: vault.address, namespace: 'team/a' } });
    await world.delivered(1);
    await agent.kill('SIGTERM');
    assert.ok(vault.requests.some(({ path }) => path === 'auth/token/revoke-self'));
    assert.ok(vault.requests.every(({ namespace }) => namespace === 'team/a'));
    const lost = await world.agent({
      vault: { address: vault.address, namespace: 'team/b' },
      initDeadline: '4s',
    });
    assert.equal(await lost.exit(), 17);
    assert.match(await lost.terminationMessage(), /LOGIN_REFUSED.*in namespace "team\/b"/);
  });

  test('the CA is replaced while the agent runs, after the certificate of Vault', async () => {
    const [old, next] = [createTestCa(), createTestCa()];
    await using world = await FaultWorld.start({ tls: old.issue() });
    const caFile = join(world.bench.directory, 'ca.pem');
    await replaceFile(caFile, old.caPem);
    const agent = await world.agent({ vault: { address: world.vault.address, caFile } });
    await world.delivered(1);
    await world.stopVault();
    await world.restartVault({ tls: next.issue() });
    await world.change(2);
    await agent.logged(/VAULT_TLS.*CA/);
    await replaceFile(caFile, 'not a certificate');
    await agent.logged(/CA file cannot be used; the last good one stays/);
    await replaceFile(caFile, `${old.caPem}${next.caPem}`);
    await world.delivered(2);
    assert.equal(world.logins, 1, 'one at the new Vault');
    await world.search(agent);
  });
});
