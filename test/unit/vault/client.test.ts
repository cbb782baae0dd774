import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { NO_LOGGER, type Labels, type LogFields, type Metrics } from '../../../src/core/index.ts';
import { createVaultClient } from '../../../src/vault/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { inOrder, startScripted } from '../../helpers/scripted-http.ts';
import { until } from '../../helpers/until.ts';
import { answer, failure, makeClient, mount, NEVER, PLANTED, refused, TOKEN } from './harness.ts';

const READ = { kind: 'read', path: 'kv/app' } as const;

suite('the address', () => {
  const BAD = [
    '',
    'vault.example:8200',
    'ftp://vault.example',
    'unix:///run/vault.sock',
    'https://user:word@vault.example',
    'https://vault.example/?x=1',
    'https://vault.example/#x',
    'https://:8200',
  ];
  for (const address of BAD) {
    test(`"${address}" is rejected without being shown`, async (t) => {
      const error = await failure(
        Promise.resolve().then(() => makeClient(t, address)),
        'ERR_VAULT_ADDRESS',
      );
      if (address !== '') assert.ok(!error.message.includes(address));
    });
  }

  for (const namespace of ['', 'a b', 'a\r\nX-Vault-Token: x', 'ü']) {
    test(`with the namespace ${JSON.stringify(namespace)} is rejected`, async (t) => {
      const make = Promise.resolve().then(() =>
        makeClient(t, 'https://vault.example', { namespace }),
      );
      await failure(make, 'ERR_VAULT_ADDRESS');
    });
  }
});

test('metrics and logs have operation and outcome, never a path or a secret', async (t) => {
  const secret = answer({ password: PLANTED.value });
  const server = await startScripted(
    t,
    inOrder(mount('kv/', 'kv'), secret, refused(500, PLANTED.token)),
  );
  const seen: string[] = [];
  const note = (...values: unknown[]): void => void seen.push(JSON.stringify(values));
  const metrics: Metrics = {
    counter: (name, help, labels) => ({
      add: (values?: Labels) => note(name, help, labels, values),
      remove: () => undefined,
    }),
    gauge: () => assert.fail('no gauge is needed'),
    histogram: (name, help, buckets, labels) => ({
      observe: (value, values) => note(name, help, buckets, labels, value, values),
    }),
  };
  const log = (message: string, fields?: LogFields): void => note(message, fields);
  const logger = { ...NO_LOGGER, debug: log, info: log, warn: log, error: log };
  const { client } = makeClient(t, server.address, { metrics, logger });
  await client.fetch(TOKEN, READ, NEVER);
  await failure(client.fetch(TOKEN, READ, NEVER), 'ERR_VAULT_SERVER');
  const text = seen.join('\n');
  assert.match(text, /"operation":"read","outcome":"ok"/);
  assert.match(text, /"operation":"read","outcome":"ERR_VAULT_SERVER"/);
  for (const hidden of [...Object.values(PLANTED), 'kv/app']) assert.ok(!text.includes(hidden));
});

test('closing ends what is under way', async (t) => {
  const server = await startScripted(t, inOrder('hang'));
  const { client } = makeClient(t, server.address);
  const call = failure(client.fetch(TOKEN, READ, NEVER), 'ERR_VAULT_UNREACHABLE');
  await server.arrived(1);
  client.close();
  await call;
});

test('a name of the API that node-vault treats apart is treated like any other', async (t) => {
  const server = await startScripted(t, inOrder(mount('kv/', 'kv'), refused(404)));
  const { client } = makeClient(t, server.address);
  const path = 'kv/sys/health';
  await failure(client.fetch(TOKEN, { kind: 'read', path }, NEVER), 'ERR_VAULT_NOT_FOUND');
});

test('the environment changes nothing and prints nothing', async (t) => {
  const server = await startScripted(t, inOrder(mount('kv/', 'kv'), answer({ a: PLANTED.value })));
  const program = `
    import { createVaultClient } from './src/vault/index.ts';
    import { Secret } from './src/core/index.ts';
    import { systemClock, systemRandom } from './src/platform/index.ts';
    const client = createVaultClient({
      address: process.argv[1], timeoutMs: 5000, clock: systemClock, random: systemRandom,
    });
    const read = { kind: 'read', path: 'kv/app' };
    await client.fetch(new Secret(process.argv[2]), read, AbortSignal.timeout(5000));
    client.close();
  `;
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--eval', program, server.address, PLANTED.token],
    {
      cwd: new URL('../../..', import.meta.url),
      env: {
        DEBUG: '*',
        VAULT_ADDR: 'http://127.0.0.1:1',
        VAULT_TOKEN: 'from-the-environment',
        VAULT_NAMESPACE: 'from-the-environment',
        VAULT_PREFIX: '/from-the-environment',
        VAULT_SKIP_VERIFY: '1',
        HTTP_PROXY: 'http://127.0.0.1:1',
      },
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const ending: unknown[] = await once(child, 'close');
  assert.equal(ending[0], 0, output);
  for (const secret of Object.values(PLANTED)) assert.ok(!output.includes(secret), output);
  const [, request] = server.requests;
  assert.equal(request?.path, '/v1/kv/app');
  assert.equal(request.headers['x-vault-token'], PLANTED.token);
  assert.equal(request.headers['x-vault-namespace'], undefined);
});

test('a client that was used does not keep the process alive or its connections open', async (t) => {
  const server = await startScripted(t, inOrder(mount('kv/', 'kv'), answer({})));
  const options = { timeoutMs: 1000, clock: new FakeClock(), random: { next: () => 0 } };
  const client = createVaultClient({ address: server.address, ...options });
  await client.fetch(TOKEN, READ, NEVER);
  assert.equal(server.openConnections(), 1);
  client.close();
  await until(() => server.openConnections() === 0);
});
