/** How long an answer is waited for, so that Vault does not make the same thing twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../src/platform/index.ts';
import type { VaultClient } from '../../../src/vault/index.ts';
import { startScripted, inOrder, type Reply } from '../../helpers/scripted-http.ts';
import { answer, DENIED, failure, JWT, makeClient, mount, NEVER, TOKEN } from './harness.ts';

const KV = { kind: 'read', path: 'kv/app' } as const;
const CREDENTIAL = { kind: 'read', path: 'database/creds/app' } as const;
const PARAMS = { common_name: 'web' };

/** What Vault makes something for: [what, how Vault answers a question about the mount, the request]. */
const MAKING: readonly (readonly [string, Reply, (client: VaultClient) => Promise<unknown>])[] = [
  [
    'a login',
    DENIED,
    (client) => client.login({ method: 'jwt', mount: 'jwt', role: 'app', jwt: JWT }, NEVER),
  ],
  [
    'a credential',
    mount('database/', 'database'),
    (client) => client.fetch(TOKEN, CREDENTIAL, NEVER),
  ],
  [
    'a read of a mount that Vault does not report',
    DENIED,
    (client) => client.fetch(TOKEN, CREDENTIAL, NEVER),
  ],
  [
    'a certificate',
    DENIED,
    (client) => client.fetch(TOKEN, { kind: 'pki', path: 'pki/issue/web', params: PARAMS }, NEVER),
  ],
  [
    'a write',
    DENIED,
    (client) => client.fetch(TOKEN, { kind: 'write', path: 'aws/sts/web', params: {} }, NEVER),
  ],
];

const AUTH = { client_token: 'hvs.made', lease_duration: 60, renewable: true };
const MADE = answer({ username: 'v-web' }, { auth: AUTH, lease_id: 'a/1', lease_duration: 60 });

for (const [what, response, ask] of MAKING) {
  test(`${what} is waited for three times as long as anything else, and asked for once`, async (t) => {
    const late = Promise.withResolvers<Reply>();
    const asked = Promise.withResolvers<undefined>();
    const server = await startScripted(t, ({ path }) => {
      if (path.includes('internal/ui/mounts')) return response;
      asked.resolve(undefined);
      return late.promise;
    });
    const { client, clock, counted } = makeClient(t, server.address, { timeoutMs: 1000 });
    const call = ask(client);
    await asked.promise;
    await clock.advance(2900);
    late.resolve(MADE);
    await call;
    assert.equal(counted.filter((line) => !line.startsWith('mount-lookup')).length, 1);
    assert.equal(clock.sleeping, 0);
  });
}

test('what makes nothing is given up at the deadline', async (t) => {
  const server = await startScripted(t, inOrder(mount('kv/', 'kv'), 'hang'));
  const { client, clock } = makeClient(t, server.address, { timeoutMs: 1000 });
  const call = failure(client.fetch(TOKEN, KV, NEVER), 'ERR_VAULT_TIMEOUT');
  await server.arrived(2);
  await clock.advance(1000);
  assert.match((await call).message, /did not respond within 1 s/);
});

test('the time in which a request waited for its turn does not belong to it', async (t) => {
  const late = Promise.withResolvers<Reply>();
  const server = await startScripted(t, () => late.promise);
  const turn = Promise.withResolvers<undefined>();
  const { client, clock } = makeClient(t, server.address, {
    timeoutMs: 1000,
    limiter: async (_, request) => {
      await turn.promise;
      return await request();
    },
  });
  const call = client.tokenIsValid(TOKEN, NEVER);
  await clock.advance(900);
  turn.resolve(undefined);
  await server.arrived(1);
  await clock.advance(900);
  late.resolve(answer({}));
  assert.equal(await call, true);
});

test('a turn that does not come is waited for no longer than an answer, and nothing is sent', async (t) => {
  const server = await startScripted(t, inOrder());
  const { client, clock } = makeClient(t, server.address, {
    timeoutMs: 1000,
    limiter: (signal) => new Promise((_, reject) => signal.addEventListener('abort', reject)),
  });
  const call = failure(client.fetch(TOKEN, CREDENTIAL, NEVER), 'ERR_VAULT_TIMEOUT');
  await clock.advance(1000);
  assert.match((await call).message, /could not start within 1 s/);
  assert.equal(server.requests.length, 0);
});

test('an answer that came while this process was kept from its work is taken', async (t) => {
  const server = await startScripted(t, ({ path }) => {
    if (path.includes('mounts')) return mount('kv/', 'kv');
    // Runs when the answer is in the socket, and before anybody has looked there.
    process.nextTick(() => {
      const startedAtMs = systemClock.monotonicMs();
      while (systemClock.monotonicMs() - startedAtMs < 1000);
    });
    return answer({ a: 1 });
  });
  const { client } = makeClient(t, server.address, { timeoutMs: 500, clock: systemClock });
  assert.deepEqual((await client.fetch(TOKEN, KV, NEVER)).data, { a: 1 });
  assert.equal(server.requests.length, 2);
});
