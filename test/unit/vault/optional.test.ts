/** Whether a secret that may be absent is absent: only Vault's own word counts. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { isAbsence, VouchsafeError, type VaultDependency } from '../../../src/core/index.ts';
import { byRoute, inOrder, startScripted, type Reply } from '../../helpers/scripted-http.ts';
import {
  answer,
  DENIED,
  makeClient,
  mount,
  NEVER,
  PREFLIGHT,
  refused,
  TOKEN,
  version,
} from './harness.ts';

const KV2 = mount('kvv2/', 'kv', { version: '2' });
const KV1 = mount('kvv2/', 'kv', { version: '1' });
const LOOKUP = 'GET /v1/sys/internal/ui/mounts';
const NO_ROUTE = refused(404, 'no handler for route "kvv2/data/app". route entry not found.');
const DELETED: Reply = {
  status: 404,
  body: {
    data: version(null, { deletion_time: '2026-01-01T00:00:00Z', version: 4 }),
    errors: null,
  },
};

function read(path: string, optional = true): VaultDependency {
  return { kind: 'read', path, ...(optional && { optional }) };
}

/** `absent`, the code of the error, or the data. */
async function outcome(
  t: TestContext,
  path: string,
  script: Parameters<typeof startScripted>[1],
): Promise<unknown> {
  const server = await startScripted(t, script);
  const { client } = makeClient(t, server.address);
  return await outcomeOf(() => client.fetch(TOKEN, read(path), NEVER));
}

async function outcomeOf(run: () => Promise<{ readonly data: unknown }>): Promise<unknown> {
  try {
    return (await run()).data;
  } catch (error) {
    assert.ok(error instanceof VouchsafeError);
    return isAbsence(error) ? 'absent' : error.code;
  }
}

suite('an optional secret of a known mount', () => {
  const CASES: readonly [string, Reply, unknown][] = [
    ['that was never written', refused(404), 'absent'],
    ['that was deleted', DELETED, 'absent'],
    [
      'that was destroyed',
      { status: 404, body: { data: version(null, { destroyed: true }) } },
      'absent',
    ],
    ['that exists', answer(version({ a: 1 })), { a: 1 }],
    ['that exists without keys', answer(version({})), {}],
    ['that is denied', DENIED, 'ERR_VAULT_DENIED'],
    ['whose mount is gone', NO_ROUTE, 'ERR_VAULT_NOT_FOUND'],
    [
      'of a path that Vault warns of',
      { status: 404, body: { errors: [], warnings: ['Invalid path'] } },
      'ERR_VAULT_NOT_FOUND',
    ],
    [
      'that a gateway answers with 404',
      { status: 404, body: { message: 'no Route matched' } },
      'ERR_VAULT_NOT_FOUND',
    ],
    [
      'that a web server answers with 404',
      { status: 404, body: '<html>not found</html>' },
      'ERR_VAULT_MALFORMED',
    ],
    ['that an empty 404 answers', { status: 404 }, 'ERR_VAULT_MALFORMED'],
    ['of a sealed Vault', refused(503, 'Vault is sealed'), 'ERR_VAULT_SEALED'],
    [
      'of a standby',
      refused(500, 'local node not active but active cluster node not found'),
      'ERR_VAULT_SERVER',
    ],
    [
      'of a mount that is being upgraded',
      refused(400, 'Upgrading from non-versioned to versioned data'),
      'ERR_VAULT_BAD_REQUEST',
    ],
    ['with a success without data', { body: { data: null } }, 'ERR_VAULT_NO_VALUE'],
    ['with 204', { status: 204 }, 'ERR_VAULT_NO_VALUE'],
  ];
  for (const [name, reply, expected] of CASES) {
    test(name, async (t) => {
      const routes: Record<string, Reply> = {
        [`${LOOKUP}/kvv2/app`]: KV2,
        'GET /v1/kvv2/data/app': reply,
        'GET /v1/auth/token/lookup-self': answer({}),
      };
      assert.deepEqual(await outcome(t, 'kvv2/app', byRoute(routes)), expected);
    });
  }

  test('of KV v1, and of an engine without versions', async (t) => {
    for (const type of ['kv', 'transit']) {
      const script = inOrder(mount('other/', type), refused(404), mount('other/', type));
      assert.equal(await outcome(t, 'other/app', script), 'absent');
    }
  });

  test('of one version', async (t) => {
    const routes = { [`${LOOKUP}/kvv2/app`]: KV2, 'GET /v1/kvv2/data/app?version=2': DELETED };
    assert.equal(await outcome(t, 'kvv2/app?version=2', byRoute(routes)), 'absent');
    const kv1 = { [`${LOOKUP}/kvv2/app`]: KV1 };
    assert.equal(await outcome(t, 'kvv2/app?version=2', byRoute(kv1)), 'ERR_VAULT_BAD_REQUEST');
  });
});

suite('an optional secret whose mount has changed since', () => {
  const CASES: readonly [string, readonly Reply[], unknown][] = [
    ['is absent if the mount is still there', [KV2], 'absent'],
    ['is read where it is now', [KV1, answer({ b: 2 })], { b: 2 }],
    ['is absent if it is not there either', [KV1, refused(404)], 'absent'],
    ['is not absent if the mount is gone', [PREFLIGHT, NO_ROUTE, NO_ROUTE], 'ERR_VAULT_NOT_FOUND'],
    [
      'is not absent while Vault does not say what is mounted',
      [refused(503, 'Vault is sealed')],
      'ERR_VAULT_SEALED',
    ],
  ];
  for (const [name, later, expected] of CASES) {
    test(name, async (t) => {
      const first = [KV2, answer(version({ a: 1 }))];
      const server = await startScripted(t, inOrder(...first, refused(404), ...later));
      const { client } = makeClient(t, server.address);
      const fetch = (): Promise<{ readonly data: unknown }> =>
        client.fetch(TOKEN, read('kvv2/app'), NEVER);
      assert.deepEqual(await outcomeOf(fetch), { a: 1 });
      assert.deepEqual(await outcomeOf(fetch), expected);
      assert.equal(server.requests.length, 3 + later.length);
    });
  }
});

suite('an optional secret of a mount that Vault does not report', () => {
  const CASES: readonly [string, Readonly<Record<string, Reply>>, unknown][] = [
    [
      'is absent where it would be',
      { 'GET /v1/kvv2/app': DENIED, 'GET /v1/kvv2/data/app': refused(404) },
      'absent',
    ],
    [
      'is absent if it was deleted',
      { 'GET /v1/kvv2/app': DENIED, 'GET /v1/kvv2/data/app': DELETED },
      'absent',
    ],
    [
      'is denied',
      { 'GET /v1/kvv2/app': DENIED, 'GET /v1/kvv2/data/app': DENIED },
      'ERR_VAULT_DENIED',
    ],
    [
      'has no mount',
      { 'GET /v1/kvv2/app': NO_ROUTE, 'GET /v1/kvv2/data/app': NO_ROUTE },
      'ERR_VAULT_NOT_FOUND',
    ],
    [
      'is not known while Vault fails',
      { 'GET /v1/kvv2/app': refused(404), 'GET /v1/kvv2/data/app': refused(500, 'x') },
      'ERR_VAULT_SERVER',
    ],
    [
      'has no value',
      { 'GET /v1/kvv2/app': refused(404), 'GET /v1/kvv2/data/app': { body: { data: null } } },
      'ERR_VAULT_NO_VALUE',
    ],
  ];
  for (const [name, routes, expected] of CASES) {
    test(name, async (t) => {
      const all = {
        [`${LOOKUP}/kvv2/app`]: PREFLIGHT,
        'GET /v1/auth/token/lookup-self': answer({}),
        ...routes,
      };
      assert.deepEqual(await outcome(t, 'kvv2/app', byRoute(all)), expected);
    });
  }
});

test('a list is empty only where Vault says so', async (t) => {
  for (const [reply, expected] of [
    [refused(404), { keys: [] }],
    [{ status: 404, body: { message: 'no Route matched' } }, 'ERR_VAULT_NOT_FOUND'],
  ] as const) {
    const server = await startScripted(t, inOrder(mount('kv/', 'kv'), reply));
    const { client } = makeClient(t, server.address);
    const fetch = (): Promise<{ readonly data: unknown }> =>
      client.fetch(TOKEN, { kind: 'list', path: 'kv/teams' }, NEVER);
    assert.deepEqual(await outcomeOf(fetch), expected);
  }
});
