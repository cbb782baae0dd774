import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { Secret, type ErrorCode } from '../../../src/core/index.ts';
import { createVaultClient, type VaultClientOptions } from '../../../src/vault/index.ts';
import {
  PROXY_TEXT,
  startConnectProxy,
  type ConnectProxy,
  type ProxyBehaviour,
} from '../../helpers/connect-proxy.ts';
import { settle, type FakeClock } from '../../helpers/fake-clock.ts';
import { freePort } from '../../helpers/free-port.ts';
import { inOrder, startScripted, type ScriptedServer } from '../../helpers/scripted-http.ts';
import { until } from '../../helpers/until.ts';
import { answer, failure, makeClient, NEVER, TOKEN, type TestClient } from './harness.ts';

const WRITE = { kind: 'write', path: 'transit/random', params: { bytes: 3 } } as const;
const ca = createTestCa();

/** A Vault with TLS. */
async function tlsVault(t: TestContext, issued = ca.issue()): Promise<ScriptedServer> {
  const { certPem: cert, keyPem: key } = issued;
  const tls = { cert, key, ca: ca.caPem, requestCert: true, rejectUnauthorized: false };
  return await startScripted(t, () => answer({ a: 1 }), tls);
}

/** A client that goes through the proxy and trusts the CA of these tests. */
function through(
  t: TestContext,
  proxy: Pick<ConnectProxy, 'url'>,
  address: string,
  options: Partial<VaultClientOptions> = {},
): TestClient {
  return makeClient(t, address, { ca: () => ca.caPem, proxy: proxy.url, ...options });
}

suite('through a proxy to a Vault with TLS', () => {
  test('the proxy sees host and port, and nothing of the request', async (t) => {
    const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
    const { client } = through(t, proxy, vault.address);
    assert.deepEqual((await client.fetch(TOKEN, WRITE, NEVER)).data, { a: 1 });
    const [request] = vault.requests;
    assert.equal(request?.path, '/v1/transit/random');
    assert.equal(request.headers['x-vault-token'], TOKEN.reveal());
    const target = new URL(vault.address).host;
    const headers = { host: target, connection: 'close' };
    assert.deepEqual(proxy.requests, [
      { method: 'CONNECT', target, headers, hasClientCertificate: false },
    ]);
  });

  test('a tunnel is used again', async (t) => {
    const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
    const { client } = through(t, proxy, vault.address);
    for (let times = 0; times < 3; times += 1) await client.fetch(TOKEN, WRITE, NEVER);
    assert.equal(proxy.requests.length, 1);
    assert.equal(vault.requests.at(-1)?.connection, 0);
  });

  test('a broken tunnel is replaced', async (t) => {
    const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
    const { client } = through(t, proxy, vault.address);
    await client.fetch(TOKEN, WRITE, NEVER);
    proxy.breakConnections();
    await until(() => proxy.openConnections() === 0);
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.equal(proxy.requests.length, 2);
  });

  test('the number of connections is bounded, also while they are being opened', async (t) => {
    const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
    proxy.behaviour = 'hang';
    const { client } = through(t, proxy, vault.address);
    const ended = new AbortController();
    const calls = Array.from({ length: 20 }, () => client.fetch(TOKEN, WRITE, ended.signal));
    await proxy.arrived(8);
    await settle();
    assert.equal(proxy.openConnections(), 8);
    ended.abort();
    await Promise.allSettled(calls);
    await until(() => proxy.openConnections() === 0);
    proxy.behaviour = 'tunnel';
    await Promise.all(Array.from({ length: 20 }, () => client.fetch(TOKEN, WRITE, NEVER)));
    assert.ok(proxy.requests.length <= 8 + 20);
    assert.ok(Math.max(...vault.requests.map(({ connection }) => connection)) < 20);
  });

  test('names are resolved by the proxy', async (t) => {
    const issued = ca.issue({ dnsNames: ['vault.example'], ips: [] });
    const [vault, proxy] = [await tlsVault(t, issued), await startConnectProxy(t)];
    const { port } = new URL(vault.address);
    const { client } = through(t, proxy, `https://vault.example:${port}`);
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.equal(proxy.requests[0]?.target, `vault.example:${port}`);
  });

  test('an IPv6 address is in brackets', async (t) => {
    const proxy = await startConnectProxy(t);
    proxy.behaviour = 403;
    const { client } = through(t, proxy, 'https://[::1]:8200');
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
    assert.equal(proxy.requests[0]?.target, '[::1]:8200');
  });

  test('CA and name are those of Vault, not of the proxy', async (t) => {
    const issued = ca.issue({ dnsNames: ['vault.example'], ips: [] });
    const [vault, proxy] = [await tlsVault(t, issued), await startConnectProxy(t)];
    const other = createTestCa().caPem;
    const untrusted = through(t, proxy, vault.address, { ca: () => other });
    const tls = await failure(untrusted.client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.match(tls.message, /through the proxy http:\/\/127\.0\.0\.1:\d+: .*not trusted/);
    const misnamed = through(t, proxy, vault.address);
    const name = await failure(misnamed.client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.match(name.message, /another name/);
    assert.equal(vault.requests.length, 0);
    const right = through(t, proxy, vault.address, { tlsServerName: 'vault.example' });
    await right.client.fetch(TOKEN, WRITE, NEVER);
  });

  test('a CA that is not valid is an error of the request, and closes the tunnel', async (t) => {
    const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
    const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
    const { client } = through(t, proxy, vault.address, { ca: () => broken });
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    await until(() => proxy.openConnections() === 0);
  });

  test('a client certificate is presented to Vault, and not to the proxy', async (t) => {
    const { certPem: cert, keyPem: key } = ca.issue();
    const tls = { cert, key, ca: ca.caPem, requestCert: true, rejectUnauthorized: false };
    const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t, tls)];
    vault.script = inOrder(answer(null, { auth: { client_token: TOKEN.reveal() } }));
    const { client } = through(t, proxy, vault.address);
    const own = ca.issue({ commonName: 'workload' });
    const certificate = { certificatePem: own.certPem, keyPem: new Secret(own.keyPem) };
    await client.login({ method: 'cert', mount: 'cert', role: 'web', certificate }, NEVER);
    assert.equal(vault.requests[0]?.clientName, 'workload');
    assert.deepEqual(
      proxy.requests.map(({ hasClientCertificate }) => hasClientCertificate),
      [false],
    );
  });

  test('variables of the environment name no proxy', async (t) => {
    const vault = await tlsVault(t);
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    process.env['NODE_USE_ENV_PROXY'] = '1';
    process.env['HTTPS_PROXY'] = nowhere;
    t.after(() => {
      delete process.env['NODE_USE_ENV_PROXY'];
      delete process.env['HTTPS_PROXY'];
    });
    const { client } = makeClient(t, vault.address, { ca: () => ca.caPem });
    await client.fetch(TOKEN, WRITE, NEVER);
  });
});

suite('a proxy with TLS', () => {
  const issued = ca.issue();

  test('is verified by the CA of the connection', async (t) => {
    const [vault, proxy] = [
      await tlsVault(t),
      await startConnectProxy(t, { cert: issued.certPem, key: issued.keyPem }),
    ];
    const { client } = through(t, proxy, vault.address);
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.equal(proxy.requests.length, 1);
  });

  test('is verified whatever the environment says, and whatever name Vault has', async (t) => {
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    t.after(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
    const named = ca.issue({ dnsNames: ['vault.example'], ips: [] });
    const stranger = createTestCa().issue();
    const vault = await tlsVault(t, named);
    for (const [{ certPem: cert, keyPem: key }, reason] of [
      [stranger, /not trusted/],
      [named, /another name/],
    ] as const) {
      const proxy = await startConnectProxy(t, { cert, key });
      const { client } = through(t, proxy, vault.address, { tlsServerName: 'vault.example' });
      const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
      assert.match(error.message, /^no TLS connection to the proxy https:/);
      assert.match(error.message, reason);
      assert.equal(proxy.requests.length, 0);
    }
  });

  test('forwards requests to a Vault without TLS', async (t) => {
    const vault = await startScripted(t, () => answer({ a: 1 }));
    const proxy = await startConnectProxy(t, { cert: issued.certPem, key: issued.keyPem });
    const { client } = through(t, proxy, vault.address);
    assert.deepEqual((await client.fetch(TOKEN, WRITE, NEVER)).data, { a: 1 });
    assert.equal(proxy.requests[0]?.method, 'POST');
  });
});

suite('through a proxy to a Vault without TLS', () => {
  test('the proxy gets the whole URL, over one connection', async (t) => {
    const [vault, proxy] = [
      await startScripted(t, () => answer({ a: 1 })),
      await startConnectProxy(t),
    ];
    const { client } = through(t, proxy, `${vault.address}/prefix/`);
    await client.fetch(TOKEN, WRITE, NEVER);
    await client.fetch(TOKEN, WRITE, NEVER);
    const [request] = vault.requests;
    assert.equal(request?.path, '/prefix/v1/transit/random');
    assert.equal(request.headers['host'], new URL(vault.address).host);
    assert.deepEqual(
      proxy.requests.map(({ target }) => target),
      Array(2).fill(`${vault.address}/prefix/v1/transit/random`),
    );
    assert.equal(proxy.openConnections(), 1);
  });

  test('credentials that the proxy requires have their own words', async (t) => {
    const [vault, proxy] = [await startScripted(t, inOrder()), await startConnectProxy(t)];
    proxy.behaviour = 407;
    const { client } = through(t, proxy, vault.address);
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
    assert.match(error.message, /the proxy http:.* requires credentials \(407\)/);
  });

  test('a proxy that is not there is not taken for Vault', async (t) => {
    const nowhere = { url: `http://127.0.0.1:${await freePort()}` };
    const { client } = through(t, nowhere, 'http://vault.example:8200');
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
    assert.match(error.message, /the proxy http:.* is the proxy running there\?/);
  });
});

suite('a proxy that opens no tunnel', () => {
  const TABLE: readonly [ProxyBehaviour, ErrorCode, RegExp][] = [
    [407, 'ERR_VAULT_UNREACHABLE', /requires credentials \(407\)/],
    [403, 'ERR_VAULT_UNREACHABLE', /does not allow connections to it \(403\)/],
    [502, 'ERR_VAULT_UNREACHABLE', /cannot connect to it \(502\)/],
    [302, 'ERR_VAULT_UNREACHABLE', /with status 302/],
    ['close', 'ERR_VAULT_UNREACHABLE', /the connection was reset \(ECONNRESET\)/],
    ['garbage', 'ERR_VAULT_UNREACHABLE', /it does not speak HTTP/],
    ['endless head', 'ERR_VAULT_UNREACHABLE', /the head of its response is too long/],
    ['early bytes', 'ERR_VAULT_UNREACHABLE', /sent bytes before the first ones for Vault/],
    ['tunnel to garbage', 'ERR_VAULT_TLS', /does not speak TLS/],
  ];
  for (const [behaviour, code, message] of TABLE) {
    test(`${behaviour}: ${code}, without a word of the proxy`, async (t) => {
      const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
      proxy.behaviour = behaviour;
      const { client, clock } = through(t, proxy, vault.address);
      const error = await failure(client.fetch(TOKEN, WRITE, NEVER), code);
      assert.match(error.message, message);
      assert.ok(error.message.includes(proxy.url) && error.message.includes(vault.address));
      assert.ok(!error.message.includes(PROXY_TEXT) && !error.message.includes('\n'));
      assert.equal(error.retry, 'backoff');
      assert.equal(clock.sleeping, 0);
      await until(() => proxy.openConnections() === 0);
      proxy.behaviour = 'tunnel';
      await client.fetch(TOKEN, WRITE, NEVER);
    });
  }

  for (const behaviour of ['hang', 'slow head'] as const) {
    test(`${behaviour}: given up after half of the request’s time`, async (t) => {
      const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
      proxy.behaviour = behaviour;
      const { client, clock } = through(t, proxy, vault.address, { timeoutMs: 8000 });
      const call = failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
      await proxy.arrived(1);
      const error = await drive(clock, call);
      assert.match(error.message, /the proxy .* did not open a connection within 4 s/);
      assert.equal(clock.sleeping, 0);
      await until(() => proxy.openConnections() === 0);
    });

    test(`${behaviour}: an abort ends it with the reason and closes the connection`, async (t) => {
      const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
      proxy.behaviour = behaviour;
      const { client, clock } = through(t, proxy, vault.address);
      const abort = new AbortController();
      const reason = new Error('shutting down');
      const call = client.fetch(TOKEN, WRITE, abort.signal);
      await proxy.arrived(1);
      abort.abort(reason);
      await assert.rejects(call, (error) => error === reason);
      await until(() => proxy.openConnections() === 0);
      assert.equal(clock.sleeping, 0);
    });

    test(`${behaviour}: closing the client closes the connection`, async (t) => {
      const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
      proxy.behaviour = behaviour;
      const { client } = through(t, proxy, vault.address);
      const call = failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
      await proxy.arrived(1);
      client.close();
      await call;
      await until(() => proxy.openConnections() === 0);
    });
  }

  test('that is not there: its address is named', async (t) => {
    const nowhere = { url: `http://127.0.0.1:${await freePort()}` };
    const { client } = through(t, nowhere, 'https://vault.example:8200');
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
    const text = `the proxy ${nowhere.url} cannot be used: the connection was refused; is the proxy`;
    assert.ok(error.message.includes(text), error.message);
  });

  test('whose name does not resolve: it is the name of the proxy', async (t) => {
    const unknown = { url: 'http://no-such-proxy.invalid:3128' };
    const { client } = through(t, unknown, 'https://vault.example:8200');
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
    assert.match(error.message, /the proxy http:\/\/no-such-proxy\.invalid:3128 cannot be used/);
  });
});

suite('a redirect', () => {
  test('is followed through the proxy', async (t) => {
    const [vault, proxy] = [await tlsVault(t), await startConnectProxy(t)];
    const active = await tlsVault(t);
    const location = `${active.address}/v1/transit/random`;
    vault.script = inOrder({ status: 307, headers: { Location: location } });
    const { client } = through(t, proxy, vault.address);
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.equal(active.requests[0]?.headers['x-vault-token'], TOKEN.reveal());
    assert.deepEqual(
      proxy.requests.map(({ target }) => target),
      [vault, active].map(({ address }) => new URL(address).host),
    );
  });

  test('from http to https opens a tunnel', async (t) => {
    const [active, proxy] = [await tlsVault(t), await startConnectProxy(t)];
    const location = `${active.address}/v1/transit/random`;
    const standby = await startScripted(
      t,
      inOrder({ status: 307, headers: { Location: location } }),
    );
    const { client } = through(t, proxy, standby.address);
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.deepEqual(
      proxy.requests.map(({ method }) => method),
      ['POST', 'CONNECT'],
    );
  });

  test('to a local address is rejected although the proxy itself is local', async (t) => {
    const issued = ca.issue({ dnsNames: ['vault.example'], ips: [] });
    const [vault, proxy] = [await tlsVault(t, issued), await startConnectProxy(t)];
    vault.script = inOrder({ status: 307, headers: { Location: 'https://127.0.0.1:1/v1/x' } });
    const { port } = new URL(vault.address);
    const { client } = through(t, proxy, `https://vault.example:${port}`, {
      redirectHosts: ['127.0.0.1'],
    });
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
    assert.match(error.message, /a loopback address/);
    assert.equal(proxy.requests.length, 1);
  });
});

for (const proxy of [
  'socks5://proxy.example:1080',
  'proxy.example:3128',
  'http://user:planted-password-value@proxy.example',
  'http://proxy.example/?x',
]) {
  test(`a proxy ${proxy.slice(0, 12)}… is rejected without showing it`, (t) => {
    const options = { ...parts(t), address: 'https://vault.example', proxy };
    assert.throws(
      () => createVaultClient(options),
      (error: Error & { code?: string }) =>
        error.code === 'ERR_VAULT_ADDRESS' && !error.message.includes('planted'),
    );
  });
}

function parts(t: TestContext): Pick<VaultClientOptions, 'clock' | 'random' | 'timeoutMs'> {
  const { clock } = makeClient(t, 'https://vault.example');
  return { clock, random: { next: () => 0 }, timeoutMs: 1000 };
}

/** Moves the clock on whenever the client waits, until the call ends. */
async function drive<T>(clock: FakeClock, call: Promise<T>): Promise<T> {
  const ended = call.then(
    () => true,
    () => true,
  );
  while (!(await Promise.race([ended, settle().then(() => false)]))) {
    if (clock.sleeping > 0) await clock.advance(100);
  }
  return call;
}
