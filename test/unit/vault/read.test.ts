import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrorCode, VaultDependency } from '../../../src/core/index.ts';
import { byRoute, inOrder, startScripted, type Reply } from '../../helpers/scripted-http.ts';
import {
  answer,
  DENIED,
  failure,
  INVALID_TOKEN,
  makeClient,
  mount,
  NEVER,
  PLANTED,
  PREFLIGHT,
  refused,
  TOKEN,
  version,
} from './harness.ts';

const KV2 = mount('kvv2/', 'kv', { version: '2' });
const LOOKUP = 'GET /v1/sys/internal/ui/mounts';
const SELF = { 'GET /v1/auth/token/lookup-self': answer({}) };

function read(path: string): VaultDependency {
  return { kind: 'read', path };
}

suite('a read', () => {
  test('of KV v2 asks for the mount once and unwraps', async (t) => {
    const server = await startScripted(
      t,
      byRoute({
        [`${LOOKUP}/kvv2/app`]: KV2,
        'GET /v1/kvv2/data/app': answer(version({ password: PLANTED.value }), {
          warnings: ['old'],
        }),
        'GET /v1/kvv2/data/a/b': answer(version({ x: 1 })),
      }),
    );
    const { client, counted } = makeClient(t, server.address);
    assert.deepEqual(await client.fetch(TOKEN, read('kvv2/app'), NEVER), {
      data: { password: PLANTED.value },
      validity: { kind: 'static' },
      warnings: ['old'],
    });
    assert.deepEqual((await client.fetch(TOKEN, read('/v1/kvv2//a/b/'), NEVER)).data, { x: 1 });
    assert.deepEqual(counted, ['mount-lookup ok', 'read ok', 'read ok']);
  });

  test('of KV v2 takes what the user has written after the mount', async (t) => {
    const server = await startScripted(
      t,
      byRoute({
        [`${LOOKUP}/kvv2/data/app`]: KV2,
        'GET /v1/kvv2/data/app': answer(version({ x: 1 })),
        'GET /v1/kvv2/metadata/app': answer({ current_version: 3 }),
        'GET /v1/kvv2/data/database': answer(version({ x: 2 })),
        'GET /v1/kvv2/data/app?version=2': answer(version({ x: 3 })),
      }),
    );
    const { client } = makeClient(t, server.address);
    const dataOf = async (path: string): Promise<unknown> =>
      (await client.fetch(TOKEN, read(path), NEVER)).data;
    assert.deepEqual(await dataOf('kvv2/data/app'), { x: 1 });
    assert.deepEqual(await dataOf('kvv2/metadata/app'), { current_version: 3 });
    assert.deepEqual(await dataOf('kvv2/database'), { x: 2 });
    assert.deepEqual(await dataOf('kvv2/app?version=2'), { x: 3 });
  });

  test('finds mounts with slashes and one inside another', async (t) => {
    const server = await startScripted(
      t,
      byRoute({
        [`${LOOKUP}/team/app`]: mount('team/', 'kv', { version: '1' }),
        [`${LOOKUP}/team/kv/a/b`]: mount('team/kv/', 'kv', { version: '2' }),
        'GET /v1/team/app': answer({ x: 1 }),
        'GET /v1/team/kv/data/a/b': answer(version({ x: 2 })),
      }),
    );
    const { client } = makeClient(t, server.address);
    assert.deepEqual((await client.fetch(TOKEN, read('team/kv/a/b'), NEVER)).data, { x: 2 });
    assert.deepEqual((await client.fetch(TOKEN, read('team/app'), NEVER)).data, { x: 1 });
    assert.deepEqual((await client.fetch(TOKEN, read('team/kv/a/b'), NEVER)).data, { x: 2 });
    assert.equal(server.requests.length, 5);
  });

  test('of KV v1 is static, whatever duration and keys it has', async (t) => {
    const secret = { ttl: '1h', rotation_period: 5, certificate: 'x', expiration: 7 };
    const reply = answer(secret, { lease_duration: 2_764_800 });
    const server = await startScripted(t, inOrder(mount('kv/', 'kv'), reply));
    const { client } = makeClient(t, server.address);
    const { data, validity } = await client.fetch(TOKEN, read('kv/app'), NEVER);
    assert.deepEqual(data, secret);
    assert.deepEqual(validity, { kind: 'static' });
  });

  test('of KV v1 does not unwrap what looks like KV v2', async (t) => {
    const secret = version({ x: 1 });
    const server = await startScripted(t, inOrder(mount('kv/', 'generic'), answer(secret)));
    const { client } = makeClient(t, server.address);
    assert.deepEqual((await client.fetch(TOKEN, read('kv/app'), NEVER)).data, secret);
  });

  test('of a dynamic secret yields its lease', async (t) => {
    const lease = { lease_id: 'database/creds/a/1', lease_duration: 60, renewable: true };
    const reply = answer({ username: 'u', id: 1 }, lease);
    const server = await startScripted(t, inOrder(mount('database/', 'database'), reply));
    const { client } = makeClient(t, server.address);
    const { validity } = await client.fetch(TOKEN, read('database/creds/a'), NEVER);
    const leaseId = 'database/creds/a/1';
    assert.deepEqual(validity, { kind: 'lease', leaseId, durationMs: 60_000, renewable: true });
  });

  test('keeps the digits of integers that JavaScript would change', async (t) => {
    const body = `{"lease_id":"","data":${JSON.stringify(version({ id: 0 }))}}`;
    const reply = { body: body.replace('"id":0', '"id":12345678901234567890,"__proto__":{"a":1}') };
    const server = await startScripted(t, inOrder(KV2, reply));
    const { client } = makeClient(t, server.address);
    const { data } = await client.fetch(TOKEN, read('kvv2/app'), NEVER);
    assert.equal(JSON.stringify(member(data, 'id')), '12345678901234567890');
    assert.equal('a' in data, false);
  });

  const FAILURES: readonly [string, string, Reply, ErrorCode, RegExp][] = [
    ['a secret that is not there', 'kvv2/app', refused(404), 'ERR_VAULT_NOT_FOUND', /no secret at/],
    [
      'a deleted version',
      'kvv2/app',
      {
        status: 404,
        body: { data: version(null, { deletion_time: '2026-01-01T00:00:00Z', version: 4 }) },
      },
      'ERR_VAULT_NOT_FOUND',
      /version 4 of the secret at kvv2\/app was deleted/,
    ],
    [
      'a destroyed version',
      'kvv2/app?version=2',
      { status: 404, body: { data: version(null, { destroyed: true, version: 2 }) } },
      'ERR_VAULT_NOT_FOUND',
      /version 2 .*was destroyed/,
    ],
    [
      'a version that is no number',
      'kvv2/app',
      { status: 404, body: { data: version(null, { version: { toString: 1 } }) } },
      'ERR_VAULT_NOT_FOUND',
      /version 0 .*was deleted/,
    ],
    [
      'an answer without the form of KV v2',
      'kvv2/app',
      answer({ x: 1 }),
      'ERR_VAULT_MALFORMED',
      /KV version 2/,
    ],
    [
      'data that is a text',
      'kvv2/metadata/app',
      answer('x'),
      'ERR_VAULT_NO_VALUE',
      /not an object/,
    ],
    ['no content', 'kvv2/app', { status: 204 }, 'ERR_VAULT_NO_VALUE', /is empty; check the path/],
    [
      'a path that cannot be read',
      'kvv2/app',
      refused(405, 'unsupported operation'),
      'ERR_VAULT_UNSUPPORTED',
      /kvv2\/app cannot be read.*\{\{secret "kvv2\/app" name="value"\}\}/,
    ],
    [
      'a token that is gone',
      'kvv2/app',
      INVALID_TOKEN,
      'ERR_VAULT_TOKEN_INVALID',
      /no longer accepts/,
    ],
  ];
  for (const [name, path, reply, code, message] of FAILURES) {
    test(`of ${name}: ${code}`, async (t) => {
      const server = await startScripted(t, inOrder(KV2, reply));
      const { client } = makeClient(t, server.address);
      const error = await failure(client.fetch(TOKEN, read(path), NEVER), code);
      assert.match(error.message, message);
    });
  }

  test('of KV v1 has no versions', async (t) => {
    const server = await startScripted(t, inOrder(mount('kv/', 'kv', { version: '1' })));
    const { client } = makeClient(t, server.address);
    const call = client.fetch(TOKEN, read('kv/app?version=1'), NEVER);
    const error = await failure(call, 'ERR_VAULT_BAD_REQUEST');
    assert.match(error.message, /kv\/ is not KV version 2/);
  });

  for (const path of ['', '/', 'a/../b', 'a\u0000b', 'a/\ud800', 'x'.repeat(2000)]) {
    test(`of ${JSON.stringify(path.slice(0, 10))} is rejected before it is sent`, async (t) => {
      const server = await startScripted(t, inOrder());
      const { client } = makeClient(t, server.address);
      await failure(client.fetch(TOKEN, read(path), NEVER), 'ERR_VAULT_BAD_REQUEST');
    });
  }

  test('that is denied names the path and keeps the token', async (t) => {
    const routes = { [`${LOOKUP}/kvv2/app`]: KV2, 'GET /v1/kvv2/data/app': DENIED, ...SELF };
    const server = await startScripted(t, byRoute(routes));
    const { client } = makeClient(t, server.address);
    const error = await failure(client.fetch(TOKEN, read('kvv2/app'), NEVER), 'ERR_VAULT_DENIED');
    assert.deepEqual(error.details, { path: 'kvv2/data/app', status: 403 });
  });

  test('that is denied to a token that an older Vault does not know asks for a login', async (t) => {
    const server = await startScripted(t, () => DENIED);
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('kvv2/app'), NEVER), 'ERR_VAULT_TOKEN_INVALID');
  });

  test('that is aborted while asking back ends with the reason', async (t) => {
    const server = await startScripted(t, inOrder(mount('kv/', 'kv'), DENIED, 'hang'));
    const { client } = makeClient(t, server.address);
    const abort = new AbortController();
    const call = client.fetch(TOKEN, read('kv/app'), abort.signal);
    await server.arrived(3);
    abort.abort(new Error('stop'));
    await assert.rejects(call, { message: 'stop' });
  });
});

suite('the mount', () => {
  test('is asked for once by reads at the same time', async (t) => {
    const server = await startScripted(t, ({ path }) =>
      path.includes('/internal/') ? KV2 : answer(version({ path })),
    );
    const { client, counted } = makeClient(t, server.address);
    const names = ['a', 'b', 'c', 'd'];
    const all = names.map((name) => client.fetch(TOKEN, read(`kvv2/${name}`), NEVER));
    const paths = (await Promise.all(all)).map(({ data }) => member(data, 'path'));
    assert.deepEqual(
      paths,
      names.map((name) => `/v1/kvv2/data/${name}`),
    );
    assert.equal(counted.filter((line) => line.startsWith('mount-lookup')).length, 1);
  });

  test('is asked for again after a failure, by those who waited too', async (t) => {
    const gate = Promise.withResolvers<Reply>();
    let asked = 0;
    const server = await startScripted(t, ({ path }) => {
      if (!path.includes('/internal/')) return answer(version({ x: 1 }));
      asked += 1;
      return asked === 1 ? gate.promise : KV2;
    });
    const { client } = makeClient(t, server.address);
    const first = failure(client.fetch(TOKEN, read('kvv2/a'), NEVER), 'ERR_VAULT_SERVER');
    const second = client.fetch(TOKEN, read('kvv2/b'), NEVER);
    await server.arrived(1);
    gate.resolve(refused(500, 'internal error'));
    await first;
    assert.deepEqual((await second).data, { x: 1 });
    assert.equal(asked, 2);
  });

  test('is still asked for when the first to ask gives up', async (t) => {
    let asked = 0;
    const server = await startScripted(t, ({ path }) => {
      if (!path.includes('/internal/')) return answer(version({ x: 1 }));
      asked += 1;
      return asked === 1 ? 'hang' : KV2;
    });
    const { client } = makeClient(t, server.address);
    const abort = new AbortController();
    const first = client.fetch(TOKEN, read('kvv2/a'), abort.signal);
    const second = client.fetch(TOKEN, read('kvv2/b'), NEVER);
    await server.arrived(1);
    abort.abort(new Error('stop'));
    await assert.rejects(first, { message: 'stop' });
    assert.deepEqual((await second).data, { x: 1 });
  });

  test('is forgotten when its path is rejected, because it may have become another', async (t) => {
    const server = await startScripted(
      t,
      inOrder(
        mount('kv/', 'kv'),
        answer({ x: 1 }),
        refused(404),
        mount('kv/', 'kv', { version: '2' }),
        answer(version({ x: 2 })),
      ),
    );
    const { client } = makeClient(t, server.address);
    assert.deepEqual((await client.fetch(TOKEN, read('kv/app'), NEVER)).data, { x: 1 });
    await failure(client.fetch(TOKEN, read('kv/app'), NEVER), 'ERR_VAULT_NOT_FOUND');
    assert.deepEqual((await client.fetch(TOKEN, read('kv/app'), NEVER)).data, { x: 2 });
  });

  test('that Vault does not report is found by trying, and remembered', async (t) => {
    const routes: Record<string, Reply> = {
      [`${LOOKUP}/team/kv/app`]: PREFLIGHT,
      'GET /v1/team/kv/app': DENIED,
      'GET /v1/team/data/kv/app': DENIED,
      'GET /v1/team/kv/data/app': answer(version({ x: 1 })),
      'GET /v1/team/kv/data/other': answer(version({ x: 2 })),
    };
    const server = await startScripted(t, byRoute(routes));
    const { client } = makeClient(t, server.address);
    assert.deepEqual((await client.fetch(TOKEN, read('team/kv/app'), NEVER)).data, { x: 1 });
    const before = server.requests.length;
    assert.deepEqual((await client.fetch(TOKEN, read('team/kv/other'), NEVER)).data, { x: 2 });
    assert.equal(server.requests.length, before + 1);
  });

  test('that Vault does not report may be plain, or written out', async (t) => {
    const lease = { lease_id: 'db/creds/a/1', lease_duration: 60 };
    const server = await startScripted(
      t,
      byRoute({
        'GET /v1/db/creds/a': answer({ username: 'u' }, lease),
        'GET /v1/kvv2/data/app': answer(version({ x: 1 })),
      }),
    );
    const { client } = makeClient(t, server.address);
    const dynamic = await client.fetch(TOKEN, read('db/creds/a'), NEVER);
    assert.equal(dynamic.validity.kind, 'lease');
    assert.deepEqual((await client.fetch(TOKEN, read('kvv2/data/app'), NEVER)).data, { x: 1 });
  });

  test('is not guessed from a secret of KV v1 that is called data', async (t) => {
    const routes = { 'GET /v1/kv/data/app': answer({ wrong: true }), 'GET /v1/kv/app': DENIED };
    const server = await startScripted(t, byRoute({ ...routes, ...SELF }));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('kv/app'), NEVER), 'ERR_VAULT_DENIED');
  });

  test('that is denied everywhere is denied, in a few requests', async (t) => {
    const server = await startScripted(t, ({ path }) =>
      path.endsWith('lookup-self') ? answer({}) : DENIED,
    );
    const { client } = makeClient(t, server.address);
    const call = client.fetch(TOKEN, read('a/b/c/d/e/f/g/h'), NEVER);
    const error = await failure(call, 'ERR_VAULT_DENIED');
    assert.equal(error.details['path'], 'a/b/c/d/e/f/g/h');
    assert.equal(server.requests.length, 7);
  });

  test('that cannot be found because of trouble is not guessed', async (t) => {
    const server = await startScripted(t, inOrder(PREFLIGHT, DENIED, 'reset'));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('kv/app'), NEVER), 'ERR_VAULT_UNREACHABLE');
  });

  test('that is not a prefix of the path is not believed', async (t) => {
    const server = await startScripted(t, inOrder(mount('else/', 'kv'), answer({ x: 1 })));
    const { client } = makeClient(t, server.address);
    assert.deepEqual((await client.fetch(TOKEN, read('kv/app'), NEVER)).data, { x: 1 });
  });
});

suite('a list', () => {
  const list = (path: string): VaultDependency => ({ kind: 'list', path });

  test('of KV v2 is of its metadata', async (t) => {
    const server = await startScripted(
      t,
      byRoute({
        [`${LOOKUP}/kvv2`]: KV2,
        'GET /v1/kvv2/metadata?list=true': answer({ keys: ['a', 'b/'] }),
        'GET /v1/kvv2/metadata/b?list=true': answer({ keys: ['c'] }),
        'GET /v1/kvv2/metadata/d?list=true': answer({ keys: ['e'] }),
      }),
    );
    const { client } = makeClient(t, server.address);
    const keysOf = async (path: string): Promise<unknown> =>
      (await client.fetch(TOKEN, list(path), NEVER)).data;
    assert.deepEqual(await keysOf('kvv2'), { keys: ['a', 'b/'] });
    assert.deepEqual(await keysOf('kvv2/b/'), { keys: ['c'] });
    assert.deepEqual(await keysOf('kvv2/metadata/b'), { keys: ['c'] });
    assert.deepEqual(await keysOf('kvv2/data/d'), { keys: ['e'] });
    assert.deepEqual(await keysOf('kvv2/data'), { keys: ['a', 'b/'] });
  });

  test('with nothing in it is empty', async (t) => {
    const server = await startScripted(t, inOrder(mount('kv/', 'kv'), refused(404)));
    const { client } = makeClient(t, server.address);
    assert.deepEqual((await client.fetch(TOKEN, list('kv/none'), NEVER)).data, { keys: [] });
  });

  const FAILURES: readonly [Reply, ErrorCode][] = [
    [refused(404, 'no handler for route "kv/"'), 'ERR_VAULT_NOT_FOUND'],
    [{ status: 404, body: { errors: [], warnings: ['Invalid path'] } }, 'ERR_VAULT_NOT_FOUND'],
    [refused(405, 'unsupported operation'), 'ERR_VAULT_UNSUPPORTED'],
    [answer({ keys: 'a' }), 'ERR_VAULT_MALFORMED'],
  ];
  for (const [reply, code] of FAILURES) {
    test(`that is rejected: ${code}`, async (t) => {
      const server = await startScripted(t, inOrder(mount('kv/', 'kv'), reply));
      const { client } = makeClient(t, server.address);
      await failure(client.fetch(TOKEN, list('kv/none'), NEVER), code);
    });
  }
});

suite('a write', () => {
  test('sends its parameters and asks for no mount', async (t) => {
    const reply = answer({ signature: 'vault:v1:x' });
    const server = await startScripted(t, inOrder(reply));
    const { client, counted } = makeClient(t, server.address);
    const params = { input: 'aGk=', count: 2, strict: true };
    const { data } = await client.fetch(
      TOKEN,
      { kind: 'write', path: 'transit/sign/k', params },
      NEVER,
    );
    assert.deepEqual(data, { signature: 'vault:v1:x' });
    assert.deepEqual(server.requests[0]?.json, params);
    assert.deepEqual(counted, ['write ok']);
  });

  test('without an answer has no data', async (t) => {
    const server = await startScripted(t, inOrder({ status: 204 }));
    const { client } = makeClient(t, server.address);
    const call = client.fetch(TOKEN, { kind: 'write', path: 'a/b', params: {} }, NEVER);
    assert.deepEqual(await call, { data: {}, validity: { kind: 'static' }, warnings: [] });
  });

  test('that makes a token yields it with its end', async (t) => {
    const auth = { client_token: PLANTED.token, lease_duration: 60 };
    const server = await startScripted(t, inOrder(answer(null, { auth })));
    const { client, clock } = makeClient(t, server.address);
    const dependency = { kind: 'write', path: 'auth/token/create', params: {} } as const;
    const { data, validity } = await client.fetch(TOKEN, dependency, NEVER);
    assert.equal(member(data, 'client_token'), PLANTED.token);
    assert.deepEqual(validity, { kind: 'expires', expiresAtMs: clock.now() + 60_000 });
  });

  test('of a certificate request yields the end of the certificate', async (t) => {
    const issued = { certificate: 'x', expiration: 1_800_000_000, private_key: PLANTED.value };
    const server = await startScripted(t, inOrder(answer(issued)));
    const { client, counted } = makeClient(t, server.address);
    const params = { common_name: 'web.example' };
    const dependency = { kind: 'pki', path: 'pki/issue/web', params } as const;
    const { validity } = await client.fetch(TOKEN, dependency, NEVER);
    assert.deepEqual(validity, { kind: 'expires', expiresAtMs: 1_800_000_000_000 });
    assert.deepEqual(counted, ['pki ok']);
  });
});

function member(data: object, name: string): unknown {
  return Object.entries(data).find(([key]) => key === name)?.[1];
}
