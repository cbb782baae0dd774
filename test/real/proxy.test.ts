/** The agent as a process with the real Vault behind an HTTP proxy. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { AgentBench } from '../helpers/agent-process.ts';
import { startConnectProxy } from '../helpers/connect-proxy.ts';
import type { RealVault } from '../helpers/real-vault.ts';
import { startRealWorld, type RealWorld } from '../helpers/real-world.ts';

const APP = 'spiffe://example.org/ns/default/sa/app';
const SECRET_FILE = { name: 'password', secret: 'secret/app#password', refresh: '1s' };

suite('a real Vault with TLS behind a proxy', () => {
  let world: RealWorld;
  let vault: RealVault;

  before(async () => {
    world = await startRealWorld({
      spiffeId: APP,
      role: 'app',
      policy: 'path "secret/data/app" { capabilities = ["read"] }',
      vaultFlags: ['-dev-tls'],
    });
    ({ vault } = world);
    await vault.write('secret/data/app', { data: { password: 'planted' } });
  });

  after(() => world[Symbol.asyncDispose]());

  function document(connection: object): object {
    return {
      ...world.servers,
      vault: { address: vault.address, caFile: vault.caFile, ...connection },
      files: [SECRET_FILE],
    };
  }

  test('the agent reads through a tunnel, and goes on when the proxy breaks it', async (t) => {
    const proxy = await startConnectProxy(t);
    await using bench = await AgentBench.create();
    await bench.start(document({ proxy: proxy.url }));
    await bench.until('password', (text) => text === 'planted');
    assert.deepEqual(
      [...new Set(proxy.requests.map(({ target }) => target))],
      [new URL(vault.address).host],
    );
    const tunnels = proxy.requests.length;
    proxy.breakConnections();
    await vault.write('secret/data/app', { data: { password: 'changed' } });
    await bench.until('password', (text) => text === 'changed');
    assert.ok(proxy.requests.length > tunnels);
    await vault.write('secret/data/app', { data: { password: 'planted' } });
  });

  for (const variable of ['VAULT_PROXY_ADDR', 'VAULT_HTTP_PROXY']) {
    test(`${variable} is used if the document names no proxy, which resolves the name of Vault`, async (t) => {
      const proxy = await startConnectProxy(t);
      await using bench = await AgentBench.create();
      const { port } = new URL(vault.address);
      const address = `https://vault.example:${port}`;
      const agent = await bench.start(
        document({ address, tlsServerName: 'localhost' }),
        ['--once'],
        { env: { [variable]: proxy.url } },
      );
      assert.equal(await agent.exit(), 0, agent.output);
      assert.equal(await bench.file('password'), 'planted');
      assert.equal(proxy.requests[0]?.target, `vault.example:${port}`);
    });
  }

  test('a proxy that rejects ends the start at its deadline with its reason', async (t) => {
    const proxy = await startConnectProxy(t);
    proxy.behaviour = 407;
    await using bench = await AgentBench.create();
    const agent = await bench.start({ ...document({ proxy: proxy.url }), initDeadline: '8s' }, [
      '--once',
    ]);
    assert.notEqual(await agent.exit(), 0);
    assert.match(agent.output, /the proxy http:\S+ requires credentials \(407\)/);
  });

  test('a password in the environment is rejected without showing it', async () => {
    await using bench = await AgentBench.create();
    const env = { VAULT_PROXY_ADDR: 'http://user:planted-word@proxy.example:3128' };
    const agent = await bench.start(document({}), ['--once'], { env });
    assert.equal(await agent.exit(), 10);
    assert.match(agent.output, /vault\.proxy: from the environment: must not contain credentials/);
    assert.ok(!agent.output.includes('planted-word'));
  });
});
