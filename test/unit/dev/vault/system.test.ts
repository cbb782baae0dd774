import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBench, tokenOf } from './client.ts';

test('health and seal status need no token and tell of the seal', async () => {
  await using bench = await startBench();
  const health = await bench.call('GET', 'sys/health');
  assert.equal(health.status, 200);
  assert.equal(health.body['initialized'], true);
  assert.equal(health.body['sealed'], false);
  assert.equal(health.body['server_time_utc'], 1767225600);
  bench.vault.seal();
  assert.equal((await bench.call('GET', 'sys/health')).status, 503);
  assert.equal((await bench.call('GET', 'sys/health?sealedcode=200')).status, 200);
  assert.equal((await bench.call('GET', 'sys/seal-status')).body['sealed'], true);
  const refused = await bench.root('GET', 'sys/mounts');
  assert.deepEqual([refused.status, refused.body['errors']], [503, ['Vault is sealed']]);
  bench.vault.unseal();
  assert.equal((await bench.root('GET', 'sys/mounts')).status, 200);
  assert.equal((await bench.root('PUT', 'sys/seal')).status, 204);
  assert.equal((await bench.call('GET', 'sys/health')).status, 503);
  assert.equal((await bench.call('PUT', 'sys/unseal', { body: {} })).body['sealed'], false);
});

test('mounting, tuning and unmounting', async () => {
  await using bench = await startBench();
  const body = { type: 'kv', options: { version: '1' }, description: 'd' };
  const config = { default_lease_ttl: '1h', max_lease_ttl: '2h' };
  assert.equal((await bench.root('POST', 'sys/mounts/kv1', { ...body, config })).status, 204);
  const { body: listed } = await bench.root('GET', 'sys/mounts');
  const mount = listed['data']?.['kv1/'];
  assert.deepEqual(listed['kv1/'], mount);
  assert.deepEqual(mount?.['config'], {
    default_lease_ttl: 3600,
    force_no_cache: false,
    max_lease_ttl: 7200,
  });
  assert.deepEqual(
    [mount['type'], mount['options'], mount['description']],
    ['kv', { version: '1' }, 'd'],
  );
  await bench.vault.write('kv1/x', { a: 1 });
  assert.equal((await bench.root('GET', 'kv1/x')).body['lease_duration'], 3600);
  await bench.vault.write('sys/mounts/kv1/tune', { default_lease_ttl: '30m' });
  assert.equal((await bench.root('GET', 'kv1/x')).body['lease_duration'], 1800);
  const refusals: [string, object, string][] = [
    ['sys/mounts/kv1', { type: 'kv' }, 'path is already in use at kv1/'],
    ['sys/mounts/x', { type: 'nope' }, 'plugin not found in the catalog: nope'],
    ['sys/auth/x', { type: 'kv' }, 'plugin not found in the catalog: kv'],
  ];
  for (const [path, wrong, text] of refusals) {
    const answer = await bench.root('POST', path, wrong);
    assert.deepEqual([answer.status, answer.body['errors']], [400, [text]]);
  }
  await bench.vault.delete('sys/mounts/kv1');
  const gone = await bench.root('GET', 'kv1/x');
  assert.deepEqual(
    [gone.status, gone.body['errors']],
    [404, ['no handler for route "kv1/x". route entry not found.']],
  );
});

test('clients tell KV versions apart by asking for the mount of a path', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/mounts/kvv2', { type: 'kv-v2' });
  await bench.vault.write('sys/policies/acl/app', {
    policy: 'path "kvv2/data/app/*" { capabilities = ["read"] }',
  });
  const make = async (policies: string[]): Promise<string> =>
    tokenOf(await bench.root('POST', 'auth/token/create', { policies }));
  const ask = 'sys/internal/ui/mounts/kvv2/app/db';
  const { status, body } = await bench.call('GET', ask, { token: await make(['app']) });
  assert.equal(status, 200);
  assert.equal(body['data']?.['path'], 'kvv2/');
  assert.deepEqual(body['data']['options'], { version: '2' });
  assert.equal(body['data']['config']?.['max_lease_ttl'], 2764800);
  const refused = await bench.call('GET', ask, { token: await make(['default']) });
  assert.deepEqual(
    [refused.status, refused.body['errors']],
    [
      403,
      [
        'preflight capability check returned 403, please ensure client\'s policies grant access to path "kvv2/app/db/"',
      ],
    ],
  );
  assert.equal((await bench.root('GET', 'sys/internal/ui/mounts/nope/x')).status, 403);
  assert.equal((await bench.call('GET', ask)).status, 403);
});

test('namespaces are ignored unless there are some', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/mounts/secret', { type: 'kv' });
  await bench.vault.write('secret/a', { x: 1 });
  const headers = { 'x-vault-namespace': 'anything' };
  const token = bench.vault.rootToken.reveal();
  assert.equal((await bench.call('GET', 'secret/a', { token, headers })).status, 200);
});

test('namespaces have their own mounts, policies and tokens', async () => {
  await using bench = await startBench({ namespaces: ['team', 'team/sub'] });
  const { vault } = bench;
  await vault.write('sys/mounts/secret', { type: 'kv' }, 'team');
  await vault.write('secret/a', { x: 1 }, 'team');
  assert.deepEqual(await vault.read('secret/a', 'team'), { x: 1 });
  const root = vault.rootToken.reveal();
  const status = async (path: string, namespace: string, token = root): Promise<number> => {
    const headers = { 'x-vault-namespace': namespace };
    return (await bench.call('GET', path, { token, headers })).status;
  };
  assert.equal(await status('secret/a', 'team/'), 200);
  assert.equal(await status('team/secret/a', ''), 200);
  assert.equal(await status('secret/a', ''), 404);
  assert.equal(await status('secret/a', 'team/sub'), 404);
  assert.equal(await status('sys/mounts', 'unknown'), 404);
  const policy = 'path "secret/*" { capabilities = ["read"] }';
  await vault.write('sys/policies/acl/app', { policy }, 'team');
  const made = await bench.call('POST', 'auth/token/create', {
    token: root,
    headers: { 'x-vault-namespace': 'team' },
    body: { policies: ['app'] },
  });
  assert.equal(await status('secret/a', 'team', tokenOf(made)), 200);
  assert.equal(await status('auth/token/lookup-self', '', tokenOf(made)), 403);
  assert.equal(vault.requests.at(-2)?.namespace, 'team');
});

test('what the seeding interface is refused it says with its path', async () => {
  await using bench = await startBench();
  await assert.rejects(bench.vault.write('auth/nope/role/x', {}), {
    message: /rejected update of auth\/nope\/role\/x: 404 .*route entry not found/,
  });
  await assert.rejects(bench.vault.read('sys/policies/acl/none'), { message: /: 404 \[\]$/ });
});
