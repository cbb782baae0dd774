import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, NO_LOGGER, Secret } from '../../../src/core/index.ts';
import { startDevVault } from '../../../src/dev/vault/index.ts';
import { createSharedConnections } from '../../../src/agent-runtime/index.ts';
import { systemClock, systemRandom } from '../../../src/platform/index.ts';
import {
  createVaultClient,
  type VaultClient,
  type VaultConnections,
} from '../../../src/vault/index.ts';

const never = new AbortController().signal;
const CONFIG = {
  address: 'http://127.0.0.1:1',
  namespace: undefined,
  caFile: undefined,
  caPem: undefined,
  tlsServerName: undefined,
  redirectHosts: [],
  proxy: undefined,
  timeoutMs: 5000,
};

test('equal connections are shared, and end with their last user', async () => {
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  const [one, two] = [
    await shared.connect(CONFIG, 'shop'),
    await shared.connect({ ...CONFIG }, 'shop'),
  ];
  const other = await shared.connect({ ...CONFIG, tlsServerName: 'vault' }, 'shop');
  assert.equal(one.connections, two.connections);
  assert.notEqual(one.connections, other.connections);
  const proxied = await shared.connect({ ...CONFIG, proxy: 'http://127.0.0.1:1' }, 'shop');
  assert.notEqual(one.connections, proxied.connections);
  one.giveBack();
  one.giveBack();
  const three = await shared.connect(CONFIG, 'shop');
  assert.equal(three.connections, two.connections);
  two.giveBack();
  three.giveBack();
  assert.notEqual((await shared.connect(CONFIG, 'shop')).connections, two.connections);
  shared.close();
});

test('a CA file that cannot be read fails only that caller, and is read again for the next', async () => {
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  const config = { ...CONFIG, caFile: '/no/such/ca.pem' };
  for (let tries = 0; tries < 2; tries += 1) {
    await assert.rejects(shared.connect(config, 'shop'), { code: 'ERR_CONFIG_UNREADABLE' });
  }
  shared.close();
});

test('a caller that waits for connections is a user: the last other one does not close them', async () => {
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  const first = await shared.connect(CONFIG, 'shop');
  const waiting = shared.connect(CONFIG, 'shop');
  first.giveBack();
  const { connections } = await waiting;
  assert.equal(connections, first.connections);
  assert.equal((await shared.connect(CONFIG, 'shop')).connections, connections);
  shared.close();
});

test('clients that share connections share nothing of their answers', async (t) => {
  await using vault = await startDevVault();
  await vault.write('sys/mounts/kv', { type: 'kv', options: { version: '1' } });
  await vault.write('kv/app', { user: 'web' });
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  const { connections } = await shared.connect({ ...CONFIG, address: vault.address }, 'shop');
  t.after(() => shared.close());
  const client = (own: VaultConnections): ReturnType<typeof createVaultClient> =>
    createVaultClient({
      address: vault.address,
      timeoutMs: 5000,
      connections: own,
      clock: systemClock,
      random: systemRandom,
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

test('requests of one owner that hang leave connections for others', async (t) => {
  await using vault = await startDevVault();
  await vault.write('sys/mounts/kv', { type: 'kv', options: { version: '1' } });
  await vault.write('kv/app', { user: 'web' });
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  t.after(() => shared.close());
  const client = async (owner: string, timeoutMs: number): Promise<VaultClient> => {
    const config = { ...CONFIG, timeoutMs, address: vault.address };
    const { connections, limiter } = await shared.connect(config, owner);
    const common = { clock: systemClock, random: systemRandom };
    return createVaultClient({
      address: vault.address,
      timeoutMs: config.timeoutMs,
      connections,
      limiter,
      ...common,
    });
  };
  // Within each of several Vaults, too: the bound is that of the process.
  const [greedy, other] = [await client('greedy', 60_000), await client('greedy', 59_000)];
  const victim = await client('victim', 60_000);
  vault.faults.add({ match: { path: 'kv/slow' }, respond: 'hang' });
  const stop = new AbortController();
  const hanging = Array.from({ length: 300 }, (_, index) =>
    (index % 2 === 0 ? greedy : other)
      .fetch(vault.rootToken, { kind: 'read', path: 'kv/slow' }, stop.signal)
      .catch(() => undefined),
  );
  const { share } = shared.requests;
  await vault.waitFor({ path: 'kv/slow' }, share, AbortSignal.timeout(20_000));
  const dependency = { kind: 'read', path: 'kv/app' } as const;
  const { data } = await victim.fetch(vault.rootToken, dependency, AbortSignal.timeout(20_000));
  assert.deepEqual(data, { user: 'web' });
  assert.equal(vault.count({ path: 'kv/slow' }), share);
  assert.deepEqual([...shared.requests.holders], [['greedy', share]]);
  stop.abort();
  await Promise.all(hanging);
  assert.deepEqual([...shared.requests.holders], []);
});

test('a request that cannot start within its deadline fails with that reason', async (t) => {
  await using vault = await startDevVault();
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  t.after(() => shared.close());
  const config = { ...CONFIG, timeoutMs: 300, address: vault.address };
  const { connections, limiter } = await shared.connect(config, 'shop');
  const common = { clock: systemClock, random: systemRandom };
  const client = createVaultClient({
    address: vault.address,
    timeoutMs: config.timeoutMs,
    connections,
    limiter,
    ...common,
  });
  shared.requests.hold('shop', shared.requests.share);
  await assert.rejects(client.tokenIsValid(vault.rootToken, never), {
    code: 'ERR_VAULT_TIMEOUT',
    message: /could not start within 0\.3 s: too many others are in progress/,
  });
  shared.requests.giveBack('shop', shared.requests.share);
  assert.ok(await client.tokenIsValid(vault.rootToken, never));
});

test('a request that waited for the share of its owner has its whole time: Vault makes nothing twice', async (t) => {
  await using vault = await startDevVault();
  const shared = createSharedConnections({
    logger: NO_LOGGER,
    clock: systemClock,
    random: systemRandom,
  });
  t.after(() => shared.close());
  const config = { ...CONFIG, timeoutMs: 1000, address: vault.address };
  const { connections, limiter } = await shared.connect(config, 'shop');
  const common = { clock: systemClock, random: systemRandom, connections, limiter };
  const client = createVaultClient({ address: vault.address, timeoutMs: 1000, ...common });
  vault.faults.add({ match: { path: 'sys/tools/random' }, respond: { delayMs: 700 } });
  const write = { kind: 'write', path: 'sys/tools/random', params: {} } as const;
  // One turn for both of them.
  shared.requests.hold('shop', shared.requests.share - 1);
  const both = [1, 2].map(() => client.fetch(vault.rootToken, write, never));
  const outcomes = await Promise.allSettled(both);
  assert.deepEqual(outcomes.map(timedOut), [false, false]);
});

function timedOut(outcome: PromiseSettledResult<unknown>): boolean {
  return outcome.status === 'rejected' && hasCode(outcome.reason, 'ERR_VAULT_TIMEOUT');
}
