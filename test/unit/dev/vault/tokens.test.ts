import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBench, tokenOf, type Bench, text } from './client.ts';

const INVALID = '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n';
const DENIED = '1 error occurred:\n\t* permission denied\n\n';

async function create(bench: Bench, body: object): Promise<string> {
  return tokenOf(await bench.root('POST', 'auth/token/create', body));
}

test('a token is created and looked up as by the real Vault', async () => {
  await using bench = await startBench();
  const made = await bench.root('POST', 'auth/token/create', { policies: ['p1'], ttl: '1h' });
  const token = tokenOf(made);
  assert.match(token, /^hvs\./);
  const accessor = made.body['auth']?.['accessor'];
  assert.deepEqual(made.body['auth'], {
    client_token: token,
    accessor,
    policies: ['default', 'p1'],
    token_policies: ['default', 'p1'],
    metadata: null,
    lease_duration: 3600,
    renewable: true,
    entity_id: '',
    token_type: 'service',
    orphan: false,
    mfa_requirement: null,
    num_uses: 0,
  });
  assert.deepEqual(made.body['warnings'], ['Policy "p1" does not exist']);
  await bench.clock.advance(1000);
  const { body } = await bench.call('GET', 'auth/token/lookup-self', { token });
  assert.deepEqual(body['data'], {
    accessor,
    creation_time: 1767225600,
    creation_ttl: 3600,
    display_name: 'token',
    entity_id: '',
    expire_time: '2026-01-01T01:00:00.000Z',
    explicit_max_ttl: 0,
    id: token,
    issue_time: '2026-01-01T00:00:00.000Z',
    meta: null,
    num_uses: 0,
    orphan: false,
    path: 'auth/token/create',
    policies: ['default', 'p1'],
    renewable: true,
    ttl: 3599,
    type: 'service',
  });
});

test('a token is good until its last second and refused as invalid from then on', async () => {
  await using bench = await startBench();
  const token = await create(bench, { ttl: '60s' });
  await bench.clock.advance(59_999);
  assert.equal((await bench.call('GET', 'auth/token/lookup-self', { token })).status, 200);
  await bench.clock.advance(1);
  const { status, body } = await bench.call('GET', 'auth/token/lookup-self', { token });
  assert.deepEqual([status, body['errors']], [403, [INVALID]]);
});

test('renewal counts from now, takes increments as advice, and stops at the maximum', async () => {
  await using bench = await startBench();
  const token = await create(bench, { ttl: '1h', explicit_max_ttl: '90m' });
  const renew = async (increment?: string): Promise<[unknown, unknown]> => {
    const body = increment === undefined ? {} : { increment };
    const answer = await bench.call('POST', 'auth/token/renew-self', { token, body });
    return [answer.body['auth']?.['lease_duration'], answer.body['warnings']];
  };
  await bench.clock.advance(20 * 60_000);
  assert.deepEqual(await renew('10m'), [600, null]);
  assert.deepEqual(await renew(), [600, null]);
  assert.deepEqual(await renew('3h'), [
    4200,
    ['TTL of "3h" exceeded the effective max_ttl of "1h10m"; TTL value is capped accordingly'],
  ]);
  await bench.clock.advance(70 * 60_000);
  assert.deepEqual(await renew(), [undefined, undefined]);
});

test('a periodic token lives as long as it is renewed in time', async () => {
  await using bench = await startBench();
  const token = await create(bench, { period: '24h', policies: ['default'] });
  for (let day = 0; day < 40; day += 1) {
    await bench.clock.advance(86_399_000);
    const { body } = await bench.call('POST', 'auth/token/renew-self', { token, body: {} });
    assert.equal(body['auth']?.['lease_duration'], 86_400);
  }
});

test('tokens that cannot be renewed or revoked say so', async () => {
  await using bench = await startBench();
  const batch = await create(bench, { type: 'batch', ttl: '1h', policies: ['default'] });
  assert.match(batch, /^hvb\./);
  const fixed = await create(bench, { renewable: false, ttl: '1h' });
  const root = bench.vault.rootToken.reveal();
  const refusals: [string, string, string][] = [
    ['renew-self', batch, 'batch tokens cannot be renewed'],
    ['revoke-self', batch, 'batch tokens cannot be revoked'],
    ['renew-self', fixed, 'lease is not renewable'],
    ['renew-self', root, 'lease is not renewable'],
  ];
  for (const [operation, token, text] of refusals) {
    const { status, body } = await bench.call('POST', `auth/token/${operation}`, { token });
    assert.deepEqual([status, body['errors']], [400, [text]]);
  }
});

test('a token with a number of uses ends with the last of them', async () => {
  await using bench = await startBench();
  const token = await create(bench, { num_uses: 2, policies: ['default'] });
  const statuses: number[] = [];
  for (let use = 0; use < 3; use += 1) {
    statuses.push((await bench.call('GET', 'auth/token/lookup-self', { token })).status);
  }
  assert.deepEqual(statuses, [200, 200, 403]);
});

test('revoking a token ends its children, but no orphans', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/policies/acl/maker', {
    policy: 'path "auth/token/*" { capabilities = ["create", "update", "sudo"] }',
  });
  const parent = await create(bench, { policies: ['maker'], ttl: '1h' });
  const make = async (path: string): Promise<string> =>
    tokenOf(await bench.call('POST', path, { token: parent, body: { policies: ['maker'] } }));
  const child = await make('auth/token/create');
  const orphan = await make('auth/token/create-orphan');
  assert.equal((await bench.call('POST', 'auth/token/revoke-self', { token: parent })).status, 204);
  const isGood = async (token: string): Promise<boolean> =>
    (await bench.call('GET', 'auth/token/lookup-self', { token })).status === 200;
  assert.deepEqual(await Promise.all([parent, child, orphan].map(isGood)), [false, false, true]);
});

test('looking up and revoking other tokens', async () => {
  await using bench = await startBench();
  const token = await create(bench, { ttl: '1h', display_name: 'joe', meta: { a: 'b' } });
  const found = await bench.root('POST', 'auth/token/lookup', { token });
  assert.equal(found.body['data']?.['display_name'], 'token-joe');
  const accessor = text(found.body['data']['accessor']);
  assert.ok(bench.vault.tokenAccessors.includes(accessor));
  await bench.vault.write('auth/token/revoke-accessor', { accessor });
  const gone = await bench.root('POST', 'auth/token/lookup', { token });
  assert.deepEqual([gone.status, gone.body['errors']], [403, ['bad token']]);
  const again = await bench.root('POST', 'auth/token/renew', { token });
  assert.deepEqual([again.status, again.body['errors']], [400, ['token not found']]);
});

test('no token, a wrong token and a missing permission are told apart as by the real Vault', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/mounts/secret', { type: 'kv' });
  const token = await create(bench, { policies: ['default'] });
  const refusals: [string | undefined, string][] = [
    [undefined, 'permission denied'],
    ['hvs.wrong', INVALID],
    [token, DENIED],
  ];
  for (const [given, text] of refusals) {
    const answer = await bench.call('GET', 'secret/x', given === undefined ? {} : { token: given });
    assert.deepEqual([answer.status, answer.body['errors']], [403, [text]]);
  }
});

test('a child may have no policy that its parent has not', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/policies/acl/maker', {
    policy: 'path "auth/token/create" { capabilities = ["update"] }',
  });
  const token = await create(bench, { policies: ['maker'] });
  const body = { policies: ['root'] };
  const answer = await bench.call('POST', 'auth/token/create', { token, body });
  assert.deepEqual(answer.body['errors'], ['child policies must be subset of parent']);
});

test('a wrapped answer can be fetched once and in time', async () => {
  await using bench = await startBench();
  await bench.vault.write('sys/mounts/secret', { type: 'kv' });
  await bench.vault.write('secret/app', { a: 'b' });
  const wrap = async (): Promise<string> => {
    const { body } = await bench.call('GET', 'secret/app', {
      token: bench.vault.rootToken.reveal(),
      headers: { 'x-vault-wrap-ttl': '60' },
    });
    assert.equal(body['data'], null);
    assert.equal(body['wrap_info']?.['creation_path'], 'secret/app');
    return text(body['wrap_info']['token']);
  };
  const unwrap = (token: string) => bench.call('POST', 'sys/wrapping/unwrap', { token });
  const token = await wrap();
  assert.deepEqual((await unwrap(token)).body['data'], { a: 'b' });
  const late = await wrap();
  await bench.clock.advance(60_000);
  for (const spent of [token, late, 'hvs.none']) {
    const { status, body } = await unwrap(spent);
    assert.deepEqual(
      [status, body['errors']],
      [400, ['wrapping token is not valid or does not exist']],
    );
  }
});
