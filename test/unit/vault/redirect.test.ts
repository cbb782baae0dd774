import assert from 'node:assert/strict';
import type { LookupFunction } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { VouchsafeError } from '../../../src/core/index.ts';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import {
  guardedLookup,
  localKindOf,
  redirectTarget,
  type LocalKind,
} from '../../../src/vault/redirect.ts';
import { startScripted, type ScriptedServer } from '../../helpers/scripted-http.ts';
import { answer, failure, JWT, makeClient, NEVER, TOKEN } from './harness.ts';

const WRITE = { kind: 'write', path: 'transit/random', params: { bytes: 3 } } as const;
const LOGIN = { method: 'jwt', mount: 'jwt', role: 'app', jwt: JWT } as const;
const ca = createTestCa();

/** Names of this test lead to the machine itself, and `metadata.example` to where clouds keep credentials. */
const lookup: LookupFunction = (hostname, { all }, callback) => {
  const address = hostname === 'metadata.example' ? '169.254.169.254' : '127.0.0.1';
  if (all === true) callback(null, [{ address, family: 4 }]);
  else callback(null, address, 4);
};

/** A server by another of its names. */
function named(server: ScriptedServer, host: string): string {
  return server.address.replace('127.0.0.1', host);
}

/** Redirects everything to an address. */
async function redirecting(t: TestContext, to: string): Promise<ScriptedServer> {
  const headers = { Location: `${to}/v1/transit/random` };
  return await startScripted(t, () => ({ status: 307, headers }));
}

suite('a redirect of Vault', () => {
  test('to another port of its own host is followed, a login too', async (t) => {
    const auth = { client_token: 'hvs.x', lease_duration: 60, policies: [] };
    const active = await startScripted(t, ({ path }) =>
      path.endsWith('login') ? answer(null, { auth }) : answer({ a: 1 }),
    );
    const standby = await redirecting(t, named(active, 'VAULT.example.'));
    const { client } = makeClient(t, named(standby, 'vault.example'), { lookup });
    assert.deepEqual((await client.fetch(TOKEN, WRITE, NEVER)).data, { a: 1 });
    await failure(client.login(LOGIN, NEVER), 'ERR_VAULT_MALFORMED');
    assert.deepEqual(active.requests[1]?.json, { role: 'app', jwt: JWT.reveal() });
  });

  test('to a host that the connection does not name is rejected, and the token stays', async (t) => {
    const other = await startScripted(t, () => answer({ stolen: true }));
    for (const host of ['other.example', 'x.vault.example', 'example', '127.0.0.1']) {
      const standby = await redirecting(t, named(other, host));
      const { client } = makeClient(t, named(standby, 'vault.example'), { lookup });
      const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
      assert.ok(error.message.includes(`"${host}"`), error.message);
      assert.match(error.message, /add it to vault\.connections\.<name>\.redirectHosts/);
    }
    assert.equal(other.requests.length, 0);
  });

  test('to a host that the connection names is followed with the token, but never a login', async (t) => {
    const other = await startScripted(t, () => answer({ a: 1 }));
    const standby = await redirecting(t, named(other, 'node-1.example'));
    const options = { lookup, redirectHosts: ['node-1.example'] };
    const { client } = makeClient(t, named(standby, 'vault.example'), options);
    assert.deepEqual((await client.fetch(TOKEN, WRITE, NEVER)).data, { a: 1 });
    assert.equal(other.requests[0]?.headers['x-vault-token'], TOKEN.reveal());
    for (const login of [
      LOGIN,
      { ...LOGIN, method: 'spiffe' },
      { ...LOGIN, method: 'kubernetes' },
    ]) {
      const call = client.login(login as typeof LOGIN, NEVER);
      const error = await failure(call, 'ERR_VAULT_REDIRECT');
      assert.match(error.message, /a login to another host, "node-1\.example".*load balancer/);
    }
    assert.equal(other.requests.length, 1);
  });

  test('in two steps ends at a host that is named, not at one that the second step chose', async (t) => {
    const other = await startScripted(t, () => answer({ stolen: true }));
    const between = await redirecting(t, named(other, 'other.example'));
    const standby = await redirecting(t, named(between, 'node-1.example'));
    const options = { lookup, redirectHosts: ['node-1.example'] };
    const { client } = makeClient(t, named(standby, 'vault.example'), options);
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
    assert.match(error.message, /at http:\/\/node-1\.example:\d+ redirects to "other\.example"/);
    assert.equal(other.requests.length, 0);
  });

  test('to a named host whose name leads to a link-local address connects to nothing', async (t) => {
    const standby = await redirecting(t, 'http://metadata.example');
    const options = { lookup, redirectHosts: ['metadata.example'] };
    const { client } = makeClient(t, named(standby, 'vault.example'), options);
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
    assert.match(error.message, /to "metadata\.example", a link-local address/);
  });

  test('to a named host needs its certificate', async (t) => {
    const issued = ca.issue({ dnsNames: ['vault.example'], ips: [] });
    const tls = { cert: issued.certPem, key: issued.keyPem };
    const other = await startScripted(t, () => answer({ stolen: true }), tls);
    const standby = await redirecting(t, named(other, 'node-1.example'));
    const options = { lookup, redirectHosts: ['node-1.example'], ca: () => ca.caPem };
    const { client } = makeClient(t, named(standby, 'vault.example'), options);
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.equal(other.requests.length, 0);
  });

  test('to a host with a long name is rejected in few words', async (t) => {
    const standby = await redirecting(t, `http://${'x'.repeat(5000)}.example`);
    const { client } = makeClient(t, standby.address, { lookup });
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
    assert.ok(error.message.length < 600, error.message);
  });
});

function target(location: string, ownKind?: LocalKind, own = 'http://10.0.0.1:8200'): URL {
  const hosts = [new URL(location).hostname];
  const from = new URL(own);
  return redirectTarget({
    own: from,
    from,
    location,
    hosts,
    ownKind,
    followed: 0,
    isLogin: false,
  });
}

suite('a local address', () => {
  const KINDS: readonly [LocalKind, readonly string[]][] = [
    [
      'loopback',
      [
        ...['127.0.0.1', '127.255.255.254', '127.1', '2130706433', '0x7f.1', '0177.0.0.1'],
        ...['0.0.0.0', '0', '[::]', '[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
        ...['[::127.0.0.1]', '[64:ff9b::127.0.0.1]', '[0:0:0:0:0:ffff:0:0]'],
      ],
    ],
    [
      'link-local',
      [
        ...['169.254.169.254', '2852039166', '169.254.43518', '[fe80::1]', '[febf::1]'],
        ...['[::ffff:169.254.169.254]', '[64:ff9b::a9fe:a9fe]', '[::a9fe:a9fe]'],
      ],
    ],
  ];
  for (const [kind, hosts] of KINDS) {
    for (const host of hosts) {
      test(`${host} is ${kind}, and no target even where it is named`, () => {
        const url = new URL(`http://${host}:8200/v1/x`);
        assert.equal(localKindOf(url.hostname), kind);
        assert.throws(() => target(url.href), new RegExp(`a ${kind} address`));
        assert.equal(target(url.href, kind).href, url.href, 'but from one of its kind');
        const other = kind === 'loopback' ? 'link-local' : 'loopback';
        assert.throws(() => target(url.href, other), new RegExp(`a ${kind} address`));
      });
    }
  }

  for (const host of ['10.0.0.1', '192.168.1.1', '8.8.8.8', '[fd00::1]', '[2001:db8::1]', 'name']) {
    test(`${host} is not local`, () => {
      assert.equal(localKindOf(host), undefined);
      assert.equal(target(`https://${host}/`).hostname, host);
    });
  }

  test('is found among the answers of a look-up, with and without a zone', () => {
    const cases: readonly [string, string | undefined][] = [
      ['::1', 'loopback'],
      ['fe80::1%eth0', 'link-local'],
      ['127.0.0.1', 'loopback'],
      ['10.0.0.2', undefined],
    ];
    for (const [address, kind] of cases) {
      for (const all of [true, false]) {
        const found: LookupFunction = (_hostname, _options, callback) => {
          const others = [{ address: '10.0.0.1', family: 4 }];
          if (all) callback(null, [...others, { address, family: 4 }]);
          else callback(null, address, 4);
        };
        const route = { own: new URL('http://10.0.0.1'), ownKind: undefined };
        let seen: Error | null | undefined;
        guardedLookup(found, route)('node.example', { all }, (error) => (seen = error));
        if (kind === undefined) assert.equal(seen, null);
        else {
          assert.ok(seen instanceof VouchsafeError);
          assert.equal(seen.code, 'ERR_VAULT_REDIRECT');
          assert.match(seen.message, new RegExp(`to "node\\.example", a ${kind} address`));
        }
      }
    }
  });
});
