import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSchedule } from '../../../../src/dev/vault/secrets/schedule.ts';
import { startBench, tokenOf, type Answer, type Bench, text } from './client.ts';

async function startWithDatabase(): Promise<Bench & { readonly token: string }> {
  const bench = await startBench();
  const { vault } = bench;
  await vault.write('sys/mounts/database', { type: 'database' });
  await vault.write('database/config/pg', { plugin_name: 'pg', allowed_roles: '*' });
  const role = { db_name: 'pg', default_ttl: '1h', max_ttl: '2h' };
  await vault.write('database/roles/app', role);
  await vault.write('sys/policies/acl/app', {
    policy: 'path "database/*" { capabilities = ["read"] }',
  });
  const made = await bench.root('POST', 'auth/token/create', { policies: ['app'], ttl: '30h' });
  return { ...bench, token: tokenOf(made) };
}

const EMPTY = { data: null, wrap_info: null, warnings: null, auth: null };

function credentials(answer: Answer): [string, string] {
  const { username, password } = answer.body['data'] ?? {};
  return [text(username), text(password)];
}

test('a dynamic user comes with a renewable lease and is gone when it ends', async () => {
  await using bench = await startWithDatabase();
  const { vault, clock, token } = bench;
  const { body, ...read } = await bench.call('GET', 'database/creds/app', { token });
  assert.equal(read.status, 200);
  const leaseId = text(body['lease_id']);
  assert.match(leaseId, /^database\/creds\/app\/[\w-]{24}$/);
  assert.deepEqual(
    [body['renewable'], body['lease_duration'], body['mount_type']],
    [true, 3600, 'database'],
  );
  const [username, password] = credentials({ body, ...read });
  assert.match(username, /^v-dev-app-/);
  assert.equal(vault.users.isValidLogin(username, password), true);
  assert.equal(vault.users.isValidLogin(username, 'wrong'), false);
  await clock.advance(3_599_000);
  assert.equal(vault.users.isValidLogin(username, password), true);
  await clock.advance(1000);
  assert.equal(vault.users.isValidLogin(username, password), false);
  assert.deepEqual(
    vault.users.events.map((event) => [event.kind, event.username]),
    [
      ['created', username],
      ['revoked', username],
    ],
  );
  assert.deepEqual(vault.leaseIds, []);
});

test('renewing a lease follows the arithmetic of the real Vault', async () => {
  await using bench = await startWithDatabase();
  const { token, clock } = bench;
  const read = await bench.call('GET', 'database/creds/app', { token });
  const leaseId = read.body['lease_id'];
  const renew = async (increment?: number): Promise<Record<string, unknown>> => {
    const body = { lease_id: leaseId, ...(increment === undefined ? {} : { increment }) };
    const answer = await bench.call('PUT', 'sys/leases/renew', { token, body });
    return { ...answer.body, request_id: '' };
  };
  const shape = { request_id: '', lease_id: leaseId, renewable: true, mount_type: 'system' };
  assert.deepEqual(await renew(), { ...EMPTY, ...shape, lease_duration: 3600 });
  assert.deepEqual(await renew(600), { ...EMPTY, ...shape, lease_duration: 600 });
  assert.deepEqual(await renew(99_999), {
    ...EMPTY,
    ...shape,
    lease_duration: 7200,
    warnings: [
      'TTL of "27h46m39s" exceeded the effective max_ttl of "2h"; TTL value is capped accordingly',
    ],
  });
  await clock.advance(90 * 60_000);
  assert.deepEqual(await renew(), {
    ...EMPTY,
    ...shape,
    lease_duration: 1800,
    warnings: [
      'TTL of "1h" exceeded the effective max_ttl of "30m"; TTL value is capped accordingly',
    ],
  });
  await clock.advance(30 * 60_000);
  assert.deepEqual(await renew(), { request_id: '', errors: ['lease not found'] });
});

test('a role whose default is above its maximum is capped at issue with a warning', async () => {
  await using bench = await startWithDatabase();
  const role = { db_name: 'pg', default_ttl: '3h', max_ttl: '2h' };
  await bench.vault.write('database/roles/long', role);
  const { body } = await bench.call('GET', 'database/creds/long', { token: bench.token });
  assert.equal(body['lease_duration'], 7200);
  assert.deepEqual(body['warnings'], [
    'TTL of "3h" exceeded the effective max_ttl of "2h"; TTL value is capped accordingly',
  ]);
});

test('leases hang off the token they were read with', async () => {
  await using bench = await startWithDatabase();
  const { vault, token } = bench;
  const [username, password] = credentials(
    await bench.call('GET', 'database/creds/app', { token }),
  );
  assert.equal(vault.leaseIds.length, 1);
  await bench.call('POST', 'auth/token/revoke-self', { token });
  assert.deepEqual(vault.leaseIds, []);
  assert.equal(vault.users.isValidLogin(username, password), false);
});

test('a lease outlives neither the time of its token nor a batch token', async () => {
  await using bench = await startWithDatabase();
  const { vault, clock } = bench;
  const create = { policies: ['app'], ttl: '10m' };
  const service = tokenOf(await bench.root('POST', 'auth/token/create', create));
  const batch = tokenOf(
    await bench.root('POST', 'auth/token/create', { ...create, type: 'batch' }),
  );
  const long = await bench.call('GET', 'database/creds/app', { token: service });
  const short = await bench.call('GET', 'database/creds/app', { token: batch });
  assert.deepEqual([long.body['lease_duration'], short.body['lease_duration']], [3600, 600]);
  await clock.advance(600_000);
  assert.deepEqual(vault.leaseIds, []);
});

test('looking up, listing and revoking leases', async () => {
  await using bench = await startWithDatabase();
  const { token } = bench;
  const { body } = await bench.call('GET', 'database/creds/app', { token });
  const leaseId = text(body['lease_id']);
  const found = await bench.call('PUT', 'sys/leases/lookup', {
    token,
    body: { lease_id: leaseId },
  });
  assert.deepEqual(found.body['data'], {
    expire_time: '2026-01-01T01:00:00.000Z',
    id: leaseId,
    issue_time: '2026-01-01T00:00:00.000Z',
    last_renewal: null,
    renewable: true,
    ttl: 3600,
  });
  const listed = await bench.root('GET', 'sys/leases/lookup/database/creds/app?list=true');
  assert.deepEqual(listed.body['data'], { keys: [leaseId.split('/').at(-1)] });
  const refused = await bench.call('PUT', 'sys/leases/revoke', {
    token,
    body: { lease_id: leaseId },
  });
  assert.equal(refused.status, 403);
  assert.equal((await bench.root('PUT', 'sys/leases/revoke', { lease_id: leaseId })).status, 204);
  assert.equal((await bench.root('PUT', 'sys/leases/revoke', { lease_id: leaseId })).status, 204);
  await bench.call('GET', 'database/creds/app', { token });
  await bench.vault.write('sys/leases/revoke-prefix/database/creds');
  assert.deepEqual(bench.vault.leaseIds, []);
});

test('requests for leases that are refused', async () => {
  await using bench = await startWithDatabase();
  const refusals: [string, object, string][] = [
    ['sys/leases/renew', {}, 'lease_id must be specified'],
    ['sys/leases/renew', { lease_id: 'nope' }, 'lease not found'],
    ['sys/renew', { lease_id: 'nope' }, 'lease not found'],
    ['sys/leases/lookup', { lease_id: 'nope' }, 'invalid lease'],
    ['database/roles/x', {}, 'database name is required'],
    [
      'database/static-roles/x',
      { db_name: 'pg' },
      'username is a required field to create a static account',
    ],
    ['database/rotate-role/x', {}, 'no static role found for role name'],
  ];
  for (const [path, body, text] of refusals) {
    const answer = await bench.root('PUT', path, body);
    assert.deepEqual([answer.status, answer.body['errors']], [400, [text]]);
  }
  const unknown = await bench.root('GET', 'database/creds/none');
  assert.deepEqual([unknown.status, unknown.body['errors']], [400, ['unknown role: none']]);
  await bench.vault.write('database/roles/lost', { db_name: 'none' });
  assert.equal((await bench.root('GET', 'database/creds/lost')).status, 500);
  const { body } = await bench.call('GET', 'database/creds/app', { token: bench.token });
  await bench.vault.delete('database/roles/app');
  const renewal = await bench.root('PUT', 'sys/leases/renew', { lease_id: body['lease_id'] });
  assert.equal(renewal.status, 500);
});

test('a static role counts down to its next rotation', async () => {
  await using bench = await startWithDatabase();
  const { vault, clock, token } = bench;
  const role = { db_name: 'pg', username: 'app', rotation_period: '1h' };
  await vault.write('database/static-roles/app', role);
  const read = async (): Promise<Answer> =>
    await bench.call('GET', 'database/static-creds/app', { token });
  const first = await read();
  const [, password] = credentials(first);
  assert.deepEqual(first.body['data'], {
    last_vault_rotation: '2026-01-01T00:00:00.000Z',
    password,
    rotation_period: 3600,
    ttl: 3600,
    username: 'app',
  });
  assert.equal(first.body['lease_id'], '');
  await clock.advance(3_590_000);
  assert.equal((await read()).body['data']?.['ttl'], 10);
  assert.equal(vault.users.isValidLogin('app', password), true);
  await clock.advance(15_000);
  assert.equal(vault.users.isValidLogin('app', password), false);
  const second = await read();
  assert.equal(second.body['data']?.['ttl'], 3595);
  assert.notEqual(credentials(second)[1], password);
  await vault.write('database/rotate-role/app');
  assert.equal((await read()).body['data']?.['ttl'], 3600);
});

test('a static role can rotate by the calendar', async () => {
  await using bench = await startWithDatabase();
  const role = { db_name: 'pg', username: 'app', rotation_schedule: '30 2 * * *' };
  await bench.vault.write('database/static-roles/app', { ...role, rotation_window: '1h' });
  const { body } = await bench.root('GET', 'database/static-creds/app');
  assert.equal(body['data']?.['ttl'], 9000);
  assert.equal(body['data']['rotation_schedule'], '30 2 * * *');
  assert.equal(body['data']['rotation_window'], 3600);
  assert.equal(body['data']['rotation_period'], undefined);
});

test('schedules are read as cron reads them', () => {
  const start = Date.UTC(2026, 0, 1);
  const next = (text: string): string => new Date(parseSchedule(text).next(start)).toISOString();
  assert.equal(next('* * * * *'), '2026-01-01T00:01:00.000Z');
  assert.equal(next('*/15 * * * *'), '2026-01-01T00:15:00.000Z');
  assert.equal(next('0 9-17/4 * * 1,5'), '2026-01-02T09:00:00.000Z');
  assert.equal(next('0 0 29 2 *'), '2028-02-29T00:00:00.000Z');
  for (const wrong of ['', '* * * *', '61 * * * *', 'x * * * *', '*/0 * * * *', '0 0 31 2 *']) {
    assert.throws(() => next(wrong), { name: 'Refusal', status: 400 });
  }
});

test('listeners hear of users until they leave', async () => {
  await using bench = await startWithDatabase();
  const heard: string[] = [];
  const leave = bench.vault.users.subscribe((event) => heard.push(event.kind));
  const { body } = await bench.call('GET', 'database/creds/app', { token: bench.token });
  const lease_id = body['lease_id'];
  await bench.root('PUT', 'sys/leases/renew', { lease_id });
  leave();
  await bench.root('PUT', 'sys/leases/revoke', { lease_id });
  assert.deepEqual(heard, ['created', 'renewed']);
  assert.deepEqual(bench.vault.users.names, []);
});
