import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_LOGGER, Secret, VouchsafeError } from '../../../src/core/index.ts';
import { startDevVault } from '../../../src/dev/vault/index.ts';
import { createShared } from '../../../src/host/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';
import { createVaultClient, type VaultConnections } from '../../../src/vault/index.ts';

const never = new AbortController().signal;
const CONFIG = {
  address: 'http://127.0.0.1:1',
  ...{ namespace: undefined, caFile: undefined, caPem: undefined, tlsServerName: undefined },
  timeoutMs: 5000,
};

test('equal connections are shared, and end with their last user', async () => {
  const shared = createShared({ logger: NO_LOGGER });
  const [one, two] = [await shared.connect(CONFIG), await shared.connect({ ...CONFIG })];
  const other = await shared.connect({ ...CONFIG, tlsServerName: 'vault' });
  assert.equal(one.connections, two.connections);
  assert.notEqual(one.connections, other.connections);
  one.giveBack();
  one.giveBack();
  const three = await shared.connect(CONFIG);
  assert.equal(three.connections, two.connections);
  two.giveBack();
  three.giveBack();
  assert.notEqual((await shared.connect(CONFIG)).connections, two.connections);
  shared.close();
});

test('a CA file that cannot be read fails its own caller, and is tried anew', async () => {
  const shared = createShared({ logger: NO_LOGGER });
  const config = { ...CONFIG, caFile: '/no/such/ca.pem' };
  for (let tries = 0; tries < 2; tries += 1) {
    await assert.rejects(shared.connect(config), { code: 'ERR_CONFIG_UNREADABLE' });
  }
  shared.close();
});

test('whoever waits for connections is a user: the last other one does not end them', async () => {
  const shared = createShared({ logger: NO_LOGGER });
  const first = await shared.connect(CONFIG);
  const waiting = shared.connect(CONFIG);
  first.giveBack();
  const { connections } = await waiting;
  assert.equal(connections, first.connections);
  assert.equal((await shared.connect(CONFIG)).connections, connections);
  shared.close();
});

test('equal templates are parsed once, and others not mistaken for them', () => {
  const shared = createShared({ logger: NO_LOGGER });
  const first = shared.parseTemplate('{{trim "a"}}', 'a');
  assert.equal(shared.parseTemplate('{{trim "a"}}', 'a'), first);
  assert.notEqual(shared.parseTemplate('{{trim "a"}}', 'b'), first);
  assert.notEqual(shared.parseTemplate('{{trim "b"}}', 'a'), first);
  assert.throws(() => shared.parseTemplate('{{#if}}', 'a'), VouchsafeError);
});

test('clients that share connections share nothing of their answers', async (t) => {
  await using vault = await startDevVault();
  await vault.write('sys/mounts/kv', { type: 'kv', options: { version: '1' } });
  await vault.write('kv/app', { user: 'web' });
  const shared = createShared({ logger: NO_LOGGER });
  const { connections } = await shared.connect({ ...CONFIG, address: vault.address });
  t.after(() => shared.close());
  const client = (own: VaultConnections): ReturnType<typeof createVaultClient> =>
    createVaultClient({
      ...{ address: vault.address, timeoutMs: 5000, connections: own },
      ...{ clock: systemClock, random: systemRandom },
    });
  const [rich, poor] = [client(connections), client(connections)];
  const dependency = { kind: 'read', path: 'kv/app' } as const;
  const { data } = await rich.fetch(vault.rootToken, dependency, never);
  assert.deepEqual(data, { user: 'web' });
  await assert.rejects(poor.fetch(new Secret('hvs.unknown'), dependency, never), {
    code: 'ERR_VAULT_TOKEN_INVALID',
  });
  poor.close();
  assert.deepEqual((await rich.fetch(vault.rootToken, dependency, never)).data, { user: 'web' });
  assert.throws(() => client({ close: () => undefined }), TypeError);
});
