import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { startOidcProvider } from '../../../../src/dev/workload-api/index.ts';
import { createTokenIssuer } from '../../../../src/dev/tokens/index.ts';
import { failure, startBench, text, type Bench, type Response } from './client.ts';

const INVALID = '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n';
const DENIED = '1 error occurred:\n\t* permission denied\n\n';

interface LoginBench extends Bench {
  /** A token with the policy `app`: an hour, and at most 90 minutes. */
  readonly token: string;
}

/** With the engines, and a token. */
async function startWithToken(policy = 'path "*" { capabilities = ["read", "create", "list"] }') {
  const bench = await startBench();
  const { vault } = bench;
  for (const type of ['database', 'pki']) await vault.write(`sys/mounts/${type}`, { type });
  await vault.write('sys/mounts/kv', { type: 'kv' });
  await vault.write('sys/mounts/kvv2', { type: 'kv', options: { version: '2' } });
  await vault.write('sys/policies/acl/app', { policy });
  const issuer = createTokenIssuer(bench.clock);
  await using provider = await startOidcProvider({ jwks: () => issuer.jwks() });
  await vault.write('sys/auth/jwt', { type: 'jwt' });
  await vault.write('auth/jwt/config', { jwks_url: `${provider.url}/keys` });
  const role = { token_policies: 'app', token_ttl: '1h', token_max_ttl: '90m' };
  await vault.write('auth/jwt/role/app', role);
  const jwt = await issuer.mint({ subject: 'app', audience: 'vault' });
  const login = { body: { role: 'app', jwt } };
  const { body } = await bench.call('', 'POST', 'auth/jwt/login', login);
  return { ...bench, token: text(body['auth']?.['client_token']) } satisfies LoginBench;
}

test('a token is renewed up to its maximum, and ends with the last second', async () => {
  await using bench = await startWithToken();
  const { clock, token } = bench;
  const renew = async (body: object): Promise<unknown> => {
    const renewed = await bench.call(token, 'POST', 'auth/token/renew-self', { body });
    return renewed.body['auth']?.['lease_duration'] ?? failure(renewed);
  };
  assert.equal(await renew({ increment: 600 }), 600);
  await clock.advance(10 * 60_000 - 1000);
  assert.equal(await renew({}), 3600);
  await clock.advance(60 * 60_000 - 1000);
  assert.equal(await renew({ increment: '2h' }), 20 * 60 + 2);
  const lookup = (): Promise<Response> => bench.call(token, 'GET', 'auth/token/lookup-self');
  assert.equal((await lookup()).body['data']?.['ttl'], 20 * 60 + 2);
  await clock.advance(20 * 60_000 + 2000);
  assert.deepEqual(failure(await lookup()), [403, [INVALID]]);
  assert.deepEqual(failure(await bench.root('POST', 'auth/token/renew-self', {})), [
    400,
    ['lease is not renewable'],
  ]);
});

test('a lease follows its role, ends in time, and with its token', async () => {
  await using bench = await startWithToken();
  const { vault, clock, token } = bench;
  const role = { default_ttl: '10m', max_ttl: '15m' };
  await vault.write('database/config/pg', { plugin_name: 'pg' });
  await vault.write('database/roles/app', role);
  const read = (): Promise<Response> => bench.call(token, 'GET', 'database/creds/app');
  const { body } = await read();
  assert.deepEqual([body['renewable'], body['lease_duration']], [true, 600]);
  const [user, password] = [text(body['data']?.['username']), text(body['data']?.['password'])];
  assert.ok(vault.users.isValidLogin(user, password));
  assert.ok(!vault.users.isValidLogin(user, 'wrong'));
  const lease_id = body['lease_id'];
  const on = (operation: string, more: object = {}): Promise<Response> =>
    bench.call(token, 'PUT', `sys/leases/${operation}`, { body: { lease_id, ...more } });
  await clock.advance(5 * 60_000);
  assert.equal((await on('lookup')).body['data']?.['ttl'], 300);
  assert.equal((await on('renew', { increment: '1h' })).body['lease_duration'], 600);
  await vault.delete('database/roles/app');
  const [status, errors] = failure(await on('renew'));
  assert.equal(status, 500);
  assert.match(String(errors), /failed to renew entry: .*could not find role with name: "app"/);
  assert.deepEqual(failure(await read()), [400, ['unknown role: app']]);
  await clock.advance(10 * 60_000);
  assert.ok(!vault.users.isValidLogin(user, password));
  assert.deepEqual(failure(await on('renew')), [400, ['lease not found']]);
  assert.deepEqual(failure(await on('lookup')), [400, ['invalid lease']]);
  await vault.write('database/roles/app', role);
  await read();
  await vault.write('sys/leases/revoke', { lease_id: vault.leaseIds[0] });
  assert.deepEqual([vault.leaseIds, vault.users.names], [[], []]);
  await read();
  assert.equal((await bench.call(token, 'POST', 'auth/token/revoke-self')).status, 204);
  assert.deepEqual([vault.leaseIds, vault.users.names, vault.tokenAccessors.length], [[], [], 1]);
  assert.deepEqual(
    vault.users.events.map(({ kind }) => kind),
    ['created', 'renewed', 'revoked', 'created', 'revoked', 'created', 'revoked'],
  );
});

test('a lease does not go beyond its maximum', async () => {
  await using bench = await startWithToken();
  await bench.vault.write('database/roles/app', { default_ttl: '2h', max_ttl: '1h' });
  const { body } = await bench.call(bench.token, 'GET', 'database/creds/app');
  assert.equal(body['lease_duration'], 3600);
  await bench.vault.write('database/roles/app', { max_ttl: '30m' });
  await bench.clock.advance(30 * 60_000);
  const options = { body: { lease_id: body['lease_id'] } };
  const late = await bench.call(bench.token, 'PUT', 'sys/leases/renew', options);
  assert.deepEqual(failure(late), [400, ['past the max TTL, cannot renew']]);
});

test('a static role counts down to its next rotation', async () => {
  await using bench = await startWithToken();
  const { vault, clock } = bench;
  await vault.write('database/static-roles/app', { username: 'app', rotation_period: '1h' });
  const read = (): Promise<Response> => bench.root('GET', 'database/static-creds/app');
  const first = (await read()).body['data'];
  assert.equal(first?.['ttl'], 3600);
  await clock.advance(3_605_000);
  const second = (await read()).body['data'];
  assert.equal(second?.['ttl'], 3595);
  assert.notEqual(second['password'], first['password']);
  assert.ok(vault.users.isValidLogin('app', text(second['password'])));
  const unknown = await bench.root('GET', 'database/static-creds/none');
  assert.deepEqual(failure(unknown), [400, ['unknown role: none']]);
});

test('KV: values by path, in version 2 with versions', async () => {
  await using bench = await startWithToken();
  const { vault, token } = bench;
  const get = (path: string): Promise<Response> => bench.call(token, 'GET', path);
  await vault.write('kv/app/db', { a: 1 });
  const { body } = await get('kv/app/db');
  assert.deepEqual(
    [body['data'], body['lease_id'], body['lease_duration']],
    [{ a: 1 }, '', 2764800],
  );
  assert.deepEqual((await get('kv/app?list=true')).body['data'], { keys: ['db'] });
  await vault.delete('kv/app/db');
  assert.deepEqual(failure(await get('kv/app/db')), [404, []]);
  assert.deepEqual(failure(await get('kv?list=true')), [404, []]);
  for (const a of [1, 2]) await vault.write('kvv2/data/app/db', { data: { a } });
  const current = (await get('kvv2/data/app/db')).body['data'];
  assert.deepEqual([current?.['data'], current?.['metadata']?.['version']], [{ a: 2 }, 2]);
  assert.deepEqual((await get('kvv2/data/app/db?version=1')).body['data']?.['data'], { a: 1 });
  assert.deepEqual(failure(await get('kvv2/data/app/db?version=3')), [404, []]);
  assert.deepEqual((await get('kvv2/metadata?list=true')).body['data'], {
    keys: ['app/'],
  });
  const metadata = (await get('kvv2/metadata/app/db')).body['data'];
  assert.deepEqual(Object.keys(metadata?.['versions'] ?? {}), ['1', '2']);
  assert.equal((await get('kvv2/metadata/none')).status, 404);
  await vault.delete('kvv2/data/app/db');
  const deleted = await get('kvv2/data/app/db');
  assert.deepEqual([deleted.status, deleted.body['data']?.['data']], [404, null]);
  await assert.rejects(vault.write('kvv2/data/app', { a: 1 }), /400 \["no data provided"\]/);
});

test('PKI: a certificate of the CA with the requested names', async () => {
  await using bench = await startWithToken();
  const { vault, token } = bench;
  await vault.write('pki/roles/web', { ttl: '1h', max_ttl: '2h' });
  const issue = (role: string, body: object): Promise<Response> =>
    bench.call(token, 'POST', `pki/issue/${role}`, { body });
  const names = {
    common_name: 'a.test',
    alt_names: 'b.test',
    ip_sans: '127.0.0.1',
    uri_sans: 'x://y',
  };
  const early = await issue('web', names);
  assert.deepEqual(failure(early), [500, ['no default issuer currently configured']]);
  await vault.write('pki/root/generate/internal', { common_name: 'root', ttl: '24h' });
  const data = (await issue('web', { ...names, ttl: '3h' })).body['data'];
  const [certificate, ca] = ['certificate', 'issuing_ca'].map(
    (name) => new X509Certificate(text(data?.[name])),
  );
  assert.ok(certificate !== undefined && ca !== undefined && certificate.verify(ca.publicKey));
  assert.equal(
    certificate.subjectAltName,
    'DNS:a.test, DNS:b.test, URI:x://y, IP Address:127.0.0.1',
  );
  assert.equal(Number(data?.['expiration']), bench.clock.now() / 1000 + 7200);
  assert.match(text(data?.['private_key']), /^-----BEGIN EC PRIVATE KEY-----/);
  assert.deepEqual(failure(await issue('none', names)), [400, ['unknown role: none']]);
  await vault.write('pki/roles/long', { ttl: '48h' });
  assert.match(String(failure(await issue('long', names))[1]), /beyond the expiration of the CA/);
});

test('a policy grants what its most specific rule says', async () => {
  await using bench = await startWithToken(`
    # read everything of kv but one folder
    path "kv/*" { capabilities = ["read"] }
    path "kv/app/*" { capabilities = ["deny"] }
    path "kv/app/own" { capabilities = ["read", "update"] }
  `);
  const { vault, token } = bench;
  for (const path of ['kv/x', 'kv/app/x', 'kv/app/own']) await vault.write(path, { a: 1 });
  for (const [method, path, status] of [
    ['GET', 'kv/x', 200],
    ['PUT', 'kv/x', 403],
    ['GET', 'kv/app/x', 403],
    ['GET', 'kv/app/own', 200],
    ['PUT', 'kv/app/own', 204],
    ['GET', 'kvv2/data/x', 403],
    ['GET', 'sys/internal/ui/mounts/kv/app', 200],
    ['GET', 'sys/internal/ui/mounts/kvv2/app', 403],
    ['GET', 'sys/internal/ui/mounts/none', 403],
  ] as const) {
    const body = method === 'PUT' ? { body: { a: 2 } } : {};
    assert.equal((await bench.call(token, method, path, body)).status, status, path);
  }
  const writing = vault.write('sys/policies/acl/bad', { policy: 'path "x" {} nonsense' });
  await assert.rejects(writing, /rejected update of sys\/policies\/acl\/bad: 400 .*parse policy/);
});

test('no token, an invalid token and a missing permission are distinguished as by the real Vault', async () => {
  await using bench = await startWithToken('path "x" { capabilities = ["read"] }');
  for (const [token, reason] of [
    ['', 'permission denied'],
    ['hvs.wrong', INVALID],
    [bench.token, DENIED],
  ] as const) {
    assert.deepEqual(failure(await bench.call(token, 'GET', 'kv/x')), [403, [reason]]);
  }
  const [, accessor = ''] = bench.vault.tokenAccessors;
  await bench.vault.write('auth/token/revoke-accessor', { accessor });
  const revoked = await bench.call(bench.token, 'GET', 'auth/token/lookup-self');
  assert.deepEqual(failure(revoked), [403, [INVALID]]);
  const again = await bench.root('POST', 'auth/token/revoke-accessor', { accessor });
  assert.match(String(failure(again)[1]), /invalid accessor/);
});

test('what is not there or not possible is rejected', async () => {
  await using bench = await startWithToken();
  for (const [method, path, body, status, reason] of [
    ['GET', 'none/x', undefined, 404, 'no handler for route "none/x"'],
    ['GET', 'kvv2/x', undefined, 404, 'unsupported path'],
    ['PATCH', 'kv/x', undefined, 405, 'unsupported operation'],
    ['POST', 'kv/x', [], 400, 'error parsing JSON'],
    ['POST', 'sys/mounts/kv', { type: 'kv' }, 400, 'path is already in use at kv/'],
    ['POST', 'sys/mounts/x', { type: 'x' }, 400, 'plugin not found in the catalog: x'],
    ['POST', 'database/static-roles/x', { rotation_period: 'x' }, 400, 'error converting input'],
  ] as const) {
    const response = failure(await bench.root(method, path, body));
    assert.equal(response[0], status, path);
    assert.ok(String(response[1]).includes(reason), String(response[1]));
  }
  assert.equal((await bench.root('GET', 'auth/jwt/role/app')).body['data']?.['token_ttl'], '1h');
  assert.equal((await bench.root('GET', 'auth/jwt/role/none')).status, 404);
});

test('a sealed Vault only has a status', async () => {
  await using bench = await startWithToken();
  const get = (path: string): Promise<Response> => bench.call(bench.token, 'GET', path);
  bench.vault.seal();
  assert.equal((await get('sys/health')).status, 503);
  assert.equal((await get('sys/seal-status')).body['sealed'], true);
  assert.deepEqual(failure(await get('kv/x')), [503, ['Vault is sealed']]);
  bench.vault.unseal();
  assert.equal((await get('sys/health')).status, 200);
});
