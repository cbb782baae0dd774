import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrorCode, VaultDependency } from '../../../src/core/index.ts';
import { byRoute, inOrder, startScripted, type Reply } from '../../helpers/scripted-http.ts';
import {
  answer,
  DENIED,
  failure,
  makeClient,
  mount,
  NEVER,
  PLANTED,
  PREFLIGHT,
  TOKEN,
  version,
} from './harness.ts';

const KV1 = mount('kv/', 'kv');
const KV2 = mount('kvv2/', 'kv', { version: '2' });
const DATABASE = mount('database/', 'database');
const LOOKUP = 'GET /v1/sys/internal/ui/mounts';

const read = (path: string): VaultDependency => ({ kind: 'read', path });
const list = (path: string): VaultDependency => ({ kind: 'list', path });
const write = (path: string): VaultDependency => ({ kind: 'write', path, params: {} });
const pki = (path: string): VaultDependency => ({ kind: 'pki', path, params: {} });

/** What a control group or a proxy makes of an answer. */
function wrapped(creation_path: string, more: object = {}): Reply {
  const info = { token: PLANTED.token, accessor: 'a', ttl: 86_400, creation_path, ...more };
  return answer(null, { request_id: '', wrap_info: info });
}

function raw(body: string | Buffer, type = 'application/json'): Reply {
  return { body, headers: { 'Content-Type': type } };
}

const NO_CONTENT: Reply = { status: 204 };

/** Which answers to which request hold no value: the mount that is asked for first, if any. */
const WITHOUT: readonly [string, VaultDependency, Reply | undefined, Reply, ErrorCode, RegExp][] = [
  ...(
    [
      [read('database/creds/pay'), DATABASE],
      [read('kv/app'), KV1],
      [read('kvv2/app'), KV2],
      [read('kvv2/metadata/app'), KV2],
      [list('kv/app'), KV1],
      [list('kvv2/app'), KV2],
      [write('transit/sign/k'), undefined],
      [pki('pki/issue/web'), undefined],
    ] as const
  ).flatMap(([dependency, kind]) => {
    const { path } = dependency;
    const row = (
      name: string,
      reply: Reply,
      says: RegExp,
      code: ErrorCode = 'ERR_VAULT_NO_VALUE',
    ): (typeof WITHOUT)[number] => [
      `${dependency.kind} of ${path}: ${name}`,
      ...([dependency, kind, reply, code, says] as const),
    ];
    return [
      row('wrapped', wrapped(path), /is wrapped \(creation path /, 'ERR_VAULT_WRAPPED'),
      row('no data', answer(null), /has no data; check the path/),
      row('no data, with warnings', answer(null, { warnings: ['odd'] }), /Vault warned: odd/),
      row('a text', answer('text'), /has data that is not an object/),
      row('a list', answer([1]), /has data that is not an object/),
      row('only a request ID', { body: { request_id: 'r' } }, /has no data/),
      row('no envelope', { body: { status: 'ok' } }, /is JSON, but not in the form of Vault/),
      row('an empty object', { body: {} }, /is JSON, but not in the form of Vault/),
      row('an auth without a token', answer(null, { auth: {} }), /has an auth without a token/),
      ...(dependency.kind === 'write' ? [] : [row('no content', NO_CONTENT, /is empty/)]),
    ];
  }),
  [
    'a version without data',
    ...([read('kvv2/app'), KV2, answer(version(null))] as const),
    ...(['ERR_VAULT_NO_VALUE', /has a version of a secret without data/] as const),
  ],
  [
    'a version with a list',
    ...([read('kvv2/app'), KV2, answer({ ...version({}), data: [] })] as const),
    ...(['ERR_VAULT_NO_VALUE', /without data/] as const),
  ],
  [
    'a list without keys',
    ...([list('kv/app'), KV1, answer({}), 'ERR_VAULT_NO_VALUE', /has no keys/] as const),
  ],
  [
    'a list of what is no name',
    ...([list('kv/app'), KV1, answer({ keys: [1] }), 'ERR_VAULT_MALFORMED', /names/] as const),
  ],
  [
    'a token that needs a second factor',
    write('auth/userpass/login/me'),
    undefined,
    answer(null, { auth: { client_token: '', mfa_requirement: {} } }),
    ...(['ERR_VAULT_NO_VALUE', /auth without a token/] as const),
  ],
];

suite('a success without a value is an error', () => {
  for (const [name, dependency, kind, reply, code, says] of WITHOUT) {
    test(name, async (t) => {
      const replies = kind === undefined ? [reply] : [kind, reply];
      const server = await startScripted(t, inOrder(...replies));
      const { client } = makeClient(t, server.address);
      const error = await failure(client.fetch(TOKEN, dependency, NEVER), code);
      assert.match(error.message, says);
      assert.ok(error.exitCode === 15 || code === 'ERR_VAULT_MALFORMED');
    });
  }

  test('an empty object is a value', async (t) => {
    for (const [dependency, kind, reply] of [
      [read('kv/app'), KV1, answer({})],
      [read('kvv2/app'), KV2, answer(version({}))],
      [read('database/creds/app'), DATABASE, answer({})],
    ] as const) {
      const server = await startScripted(t, inOrder(kind, reply));
      const { client } = makeClient(t, server.address);
      assert.deepEqual((await client.fetch(TOKEN, dependency, NEVER)).data, {});
    }
  });
});

suite('a wrapped response', () => {
  test('names what was wrapped and what to do, never the wrapping token', async (t) => {
    const token = { wrapped_accessor: 'accessor-of-the-token' };
    const server = await startScripted(t, inOrder(wrapped('auth/token/create', token)));
    const { client } = makeClient(t, server.address);
    const call = client.fetch(TOKEN, write('auth/token/create'), NEVER);
    const { message, retry } = await failure(call, 'ERR_VAULT_WRAPPED');
    assert.match(message, /\(creation path auth\/token\/create, accessor of the wrapped token acc/);
    assert.match(message, /control group .*proxy .*; exempt this path for the role of the pod/);
    assert.equal(retry, 'slow');
  });

  test('hides a wrapping token that is in another member, and what is not printable', async (t) => {
    const path = `a\u001b[2J/${PLANTED.token}/${'x'.repeat(5000)}`;
    const server = await startScripted(t, inOrder(wrapped(path)));
    const { client } = makeClient(t, server.address);
    const { message } = await failure(
      client.fetch(TOKEN, write('transit/x'), NEVER),
      'ERR_VAULT_WRAPPED',
    );
    assert.ok(message.length < 800 && !message.includes('\u001b'), message);
  });

  test('with data beside it is still wrapped', async (t) => {
    const info = { token: PLANTED.token, ttl: 60 };
    const server = await startScripted(t, inOrder(KV1, answer({}, { wrap_info: info })));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('kv/app'), NEVER), 'ERR_VAULT_WRAPPED');
  });

  test('of a mount that Vault does not disclose ends the guesses', async (t) => {
    const server = await startScripted(t, inOrder(PREFLIGHT, wrapped('team/kv/app')));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('team/kv/app'), NEVER), 'ERR_VAULT_WRAPPED');
    assert.equal(server.requests.length, 2);
  });

  test('of a guess is reported, not the denials of other guesses', async (t) => {
    const routes = {
      [`${LOOKUP}/kvv2/app`]: PREFLIGHT,
      'GET /v1/kvv2/app': DENIED,
      'GET /v1/kvv2/data/app': wrapped('kvv2/data/app'),
    };
    const server = await startScripted(t, byRoute(routes));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('kvv2/app'), NEVER), 'ERR_VAULT_WRAPPED');
  });
});

suite('an undisclosed mount', () => {
  test('whose path has no value is not guessed', async (t) => {
    const server = await startScripted(t, inOrder(PREFLIGHT, answer(null)));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('legacy/app'), NEVER), 'ERR_VAULT_NO_VALUE');
  });

  test('whose guess has no value reports that', async (t) => {
    const routes = {
      [`${LOOKUP}/team/kv/app`]: PREFLIGHT,
      'GET /v1/team/kv/app': DENIED,
      'GET /v1/team/kv/data/app': answer(version(null)),
      'GET /v1/team/data/kv/app': DENIED,
    };
    const server = await startScripted(t, byRoute(routes));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, read('team/kv/app'), NEVER), 'ERR_VAULT_NO_VALUE');
  });
});

suite('JSON without an envelope', () => {
  for (const [path, body] of [
    ['identity/oidc/.well-known/keys', { keys: [{ kty: 'RSA', kid: '1' }] }],
    ['identity/oidc/provider/default/.well-known/openid-configuration', { issuer: 'x' }],
    ['sys/health', { initialized: true, sealed: false }],
    ['sys/seal-status', { type: 'shamir' }],
    ['sys/leader', { ha_enabled: false }],
    ['pki/acme/directory', { newNonce: 'x' }],
  ] as const) {
    test(`is the value of ${path}, disclosed or not`, async (t) => {
      for (const lookup of [mount(`${path.split('/')[0] ?? ''}/`, 'system'), PREFLIGHT]) {
        const server = await startScripted(t, inOrder(lookup, { body }));
        const { client } = makeClient(t, server.address);
        const { data, validity } = await client.fetch(TOKEN, read(path), NEVER);
        assert.deepEqual([data, validity], [body, { kind: 'static' }]);
      }
    });
  }

  for (const [path, kind, body] of [
    ['sys/health', mount('sys/', 'system'), {}],
    ['sys/health', mount('sys/', 'system'), { errors: ['no'] }],
    ['kv/.well-known/keys', KV1, { keys: [] }],
    ['kvv2/.well-known/keys', KV2, { keys: [] }],
    ['database/creds/app', DATABASE, { password: 'x' }],
  ] as const) {
    test(`is not a value of ${path}: ${JSON.stringify(body)}`, async (t) => {
      const server = await startScripted(t, inOrder(kind, { body }));
      const { client } = makeClient(t, server.address);
      await failure(client.fetch(TOKEN, read(path), NEVER), 'ERR_VAULT_NO_VALUE');
    });
  }
});

suite('an endpoint that sends no JSON', () => {
  const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
  const DER = Buffer.from([0x30, 0x82, 0x00, 0x03, 1, 2, 3]);
  for (const [path, body, says] of [
    ['pki/ca/pem', PEM, /responds with PEM, not with JSON; read pki\/cert\/ca#certificate instead/],
    ['pki/ca', DER, /responds with DER, .*read pki\/cert\/ca#certificate/],
    ['team/pki/issuer/x/crl/der', DER, /read team\/pki\/issuer\/x\/crl#crl/],
    ['ssh/public_key', 'ssh-rsa AAAAB3', /an SSH public key, .*read ssh\/config\/ca#public_key/],
    ['other/export', PEM, /read a path that responds with JSON/],
  ] as const) {
    test(`${path} is not retried, and its remedy named`, async (t) => {
      const mounted = mount(`${path.split('/')[0] ?? ''}/`, 'x');
      const reply = raw(body, 'application/octet-stream');
      const server = await startScripted(t, inOrder(mounted, reply));
      const { client } = makeClient(t, server.address);
      const error = await failure(client.fetch(TOKEN, read(path), NEVER), 'ERR_VAULT_NOT_JSON');
      assert.match(error.message, says);
      assert.deepEqual([error.retry, error.exitCode], ['never', 15]);
    });
  }

  test('without a certificate yet: names the same path', async (t) => {
    const server = await startScripted(t, inOrder(mount('pki/', 'pki'), NO_CONTENT));
    const { client } = makeClient(t, server.address);
    const call = client.fetch(TOKEN, read('pki/ca/pem'), NEVER);
    const error = await failure(call, 'ERR_VAULT_NO_VALUE');
    assert.match(error.message, /is empty; read pki\/cert\/ca#certificate/);
  });

  for (const text of ['<html>sign in</html>', 'ssh is not here', '0', '', '\n', '[]', 'null']) {
    test(`${JSON.stringify(text)} is not taken for a certificate`, async (t) => {
      const server = await startScripted(t, inOrder(mount('pki/', 'pki'), raw(text)));
      const { client } = makeClient(t, server.address);
      const code = text === '' ? 'ERR_VAULT_NO_VALUE' : 'ERR_VAULT_MALFORMED';
      await failure(client.fetch(TOKEN, read('pki/ca'), NEVER), code);
    });
  }
});

suite('a renewal', () => {
  for (const [name, reply, code] of [
    ['wrapped', wrapped('auth/token/renew-self'), 'ERR_VAULT_WRAPPED'],
    ['without content', NO_CONTENT, 'ERR_VAULT_MALFORMED'],
    ['without an auth', answer({}), 'ERR_VAULT_MALFORMED'],
    ['without a duration', answer(null, { auth: { renewable: true } }), 'ERR_VAULT_MALFORMED'],
  ] as const) {
    test(`of a token, ${name}, does not make it live for ever`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client } = makeClient(t, server.address);
      await failure(client.renewToken(TOKEN, NEVER), code);
    });
  }

  const SPENT: Reply = { body: { lease_id: 'a/b/1', lease_duration: 0, renewable: false } };
  for (const [name, replies, code] of [
    ['wrapped', [wrapped('sys/leases/renew')], 'ERR_VAULT_WRAPPED'],
    ['without content', [NO_CONTENT], 'ERR_VAULT_MALFORMED'],
    ['looked up wrapped', [SPENT, wrapped('sys/leases/lookup')], 'ERR_VAULT_WRAPPED'],
    ['looked up without data', [SPENT, answer(null)], 'ERR_VAULT_MALFORMED'],
    ['looked up without a TTL', [SPENT, answer({ id: 'a/b/1' })], 'ERR_VAULT_MALFORMED'],
    ['looked up without content', [SPENT, NO_CONTENT], 'ERR_VAULT_MALFORMED'],
  ] as const) {
    test(`of a lease, ${name}, does not end it`, async (t) => {
      const server = await startScripted(t, inOrder(...replies));
      const { client } = makeClient(t, server.address);
      await failure(client.renewLease(TOKEN, 'a/b/1', undefined, NEVER), code);
    });
  }
});
