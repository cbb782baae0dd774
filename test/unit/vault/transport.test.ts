import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { Secret, type ErrorCode } from '../../../src/core/index.ts';
import { MAX_RESPONSE_BYTES } from '../../../src/vault/response-body.ts';
import { MAX_REQUEST_BYTES } from '../../../src/vault/transport.ts';
import { settle, type FakeClock } from '../../helpers/fake-clock.ts';
import { inOrder, startScripted, type Reply } from '../../helpers/scripted-http.ts';
import { answer, failure, makeClient, NEVER, refused, TOKEN } from './harness.ts';

const WRITE = { kind: 'write', path: 'transit/random', params: { bytes: 3 } } as const;
const ca = createTestCa();

suite('a request', () => {
  test('carries the headers of official clients', async (t) => {
    const server = await startScripted(t, inOrder(answer({ a: 1 })));
    const { client } = makeClient(t, server.address, { namespace: 'team/a' });
    const { data } = await client.fetch(TOKEN, WRITE, NEVER);
    assert.deepEqual(data, { a: 1 });
    const [request] = server.requests;
    assert.equal(request?.method, 'POST');
    assert.equal(request.path, '/v1/transit/random');
    assert.deepEqual(request.json, { bytes: 3 });
    assert.equal(request.headers['x-vault-request'], 'true');
    assert.equal(request.headers['x-vault-namespace'], 'team/a');
    assert.equal(request.headers['x-vault-token'], TOKEN.reveal());
    assert.equal(request.headers['content-type'], 'application/json');
  });

  test('has no namespace header where none is set', async (t) => {
    const server = await startScripted(t, inOrder(answer({})));
    const { client } = makeClient(t, server.address);
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.equal('x-vault-namespace' in server.requests[0]!.headers, false);
  });

  test('keeps the path of the address and encodes names', async (t) => {
    const server = await startScripted(t, inOrder(answer({})));
    const { client } = makeClient(t, `${server.address}/proxy/vault/`);
    const path = 'kv/a b/ü?x#y%2e';
    await client.fetch(TOKEN, { kind: 'write', path, params: {} }, NEVER);
    assert.equal(server.requests[0]?.path, '/proxy/vault/v1/kv/a%20b/%C3%BC%3Fx%23y%252e');
  });

  test('uses the connection of the one before', async (t) => {
    const server = await startScripted(t, () => answer({}));
    const { client } = makeClient(t, server.address);
    await client.fetch(TOKEN, WRITE, NEVER);
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.deepEqual(
      server.requests.map((request) => request.connection),
      [0, 0],
    );
  });

  test('opens a bounded number of connections', async (t) => {
    const gate = Promise.withResolvers<Reply>();
    const server = await startScripted(t, () => gate.promise);
    const { client } = makeClient(t, server.address);
    const calls = Array.from({ length: 20 }, () => client.fetch(TOKEN, WRITE, NEVER));
    await server.arrived(8);
    assert.equal(server.openConnections(), 8);
    gate.resolve(answer({}));
    await Promise.all(calls);
    assert.equal(Math.max(...server.requests.map((request) => request.connection)), 7);
  });

  for (const status of [500, 502, 503, 472, 473]) {
    test(`leaves a node that answers ${status}, also where others wait for a connection`, async (t) => {
      const gate = Promise.withResolvers<Reply>();
      const server = await startScripted(t, () => gate.promise);
      const { client } = makeClient(t, server.address);
      const calls = Array.from({ length: 20 }, () =>
        client.fetch(TOKEN, WRITE, NEVER).catch(() => undefined),
      );
      await server.arrived(8);
      gate.resolve(refused(status, 'Vault is sealed'));
      await Promise.all(calls);
      const numbers = server.requests.map(({ connection }) => connection);
      assert.equal(new Set(numbers).size, numbers.length, 'no connection carries a second request');
    });
  }

  test('leaves a connection that is five minutes old, busy or not, and no younger one', async (t) => {
    const server = await startScripted(t, () => answer({}));
    let chance = 0.5;
    const { client, clock } = makeClient(t, server.address, { random: { next: () => chance } });
    const connections = async (seconds: number): Promise<readonly number[]> => {
      const before = server.requests.length;
      for (let passed = 0; passed < seconds; passed += 10) {
        await client.fetch(TOKEN, WRITE, NEVER);
        await clock.advance(10_000);
      }
      return server.requests.slice(before).map(({ connection }) => connection);
    };
    assert.deepEqual(new Set(await connections(310)), new Set([0]));
    chance = 0;
    assert.deepEqual(new Set(await connections(250)), new Set([1]), 'five minutes less a fifth');
    chance = 1;
    assert.deepEqual(new Set(await connections(370)), new Set([2]), 'five minutes and a fifth');
    assert.deepEqual(new Set(await connections(10)), new Set([3]));
  });

  test('that is too large is rejected before it is sent', async (t) => {
    const server = await startScripted(t, inOrder());
    const { client } = makeClient(t, server.address);
    const params = { text: 'x'.repeat(MAX_REQUEST_BYTES) };
    await failure(client.fetch(TOKEN, { ...WRITE, params }, NEVER), 'ERR_VAULT_BAD_REQUEST');
    assert.equal(server.requests.length, 0);
  });

  test('with a token that no header can hold is rejected without showing it', async (t) => {
    const server = await startScripted(t, inOrder());
    const { client } = makeClient(t, server.address);
    const token = new Secret('planted-password-value\n');
    await failure(client.fetch(token, WRITE, NEVER), 'ERR_VAULT_BAD_REQUEST');
  });
});

suite('a broken answer', () => {
  const TABLE: readonly [string, Reply, ErrorCode, RegExp][] = [
    ['reset', 'reset', 'ERR_VAULT_UNREACHABLE', /reset \(ECONNRESET\)/],
    ['not HTTP', 'garbage', 'ERR_VAULT_MALFORMED', /does not speak HTTP/],
    ['cut off', 'cut', 'ERR_VAULT_MALFORMED', /was cut off/],
    ['HTML', { body: '<html>login</html>' }, 'ERR_VAULT_MALFORMED', /not a JSON object/],
    ['half JSON', { body: '{"data":{"a":"planted-' }, 'ERR_VAULT_MALFORMED', /not a JSON object/],
    ['a JSON array', { body: '[1]' }, 'ERR_VAULT_MALFORMED', /not a JSON object/],
    ['null', { body: 'null' }, 'ERR_VAULT_MALFORMED', /not a JSON object/],
    [
      'not UTF-8',
      { body: Buffer.from('7b2261223a22ff227d', 'hex') },
      'ERR_VAULT_MALFORMED',
      /JSON/,
    ],
    ['deep', { body: `{"data":${'['.repeat(200_000)}` }, 'ERR_VAULT_MALFORMED', /JSON/],
    [
      'too large',
      { body: ' '.repeat(MAX_RESPONSE_BYTES + 1) },
      'ERR_VAULT_MALFORMED',
      /is longer than/,
    ],
    [
      '404 of another server',
      { status: 404, body: '404 page not found' },
      'ERR_VAULT_MALFORMED',
      /status 404/,
    ],
    ['403 of a proxy', { status: 403, body: '<html/>' }, 'ERR_VAULT_MALFORMED', /status 403/],
    ['401', refused(401, 'who are you'), 'ERR_VAULT_MALFORMED', /status 401/],
    ['303', { status: 303, headers: { Location: '/x' } }, 'ERR_VAULT_MALFORMED', /status 303/],
  ];
  for (const [name, reply, code, message] of TABLE) {
    test(`${name}: ${code}`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client, counted } = makeClient(t, server.address);
      const error = await failure(client.fetch(TOKEN, WRITE, NEVER), code);
      assert.match(error.message, message);
      assert.match(error.message, /127\.0\.0\.1/);
      assert.deepEqual(counted, [`write ${code}`]);
    });
  }

  test('does not spoil the next request', async (t) => {
    const server = await startScripted(t, inOrder('cut', 'reset', 'garbage', answer({ a: 1 })));
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_MALFORMED');
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_MALFORMED');
    assert.deepEqual((await client.fetch(TOKEN, WRITE, NEVER)).data, { a: 1 });
  });
});

suite('the status of a server in trouble', () => {
  const TABLE: readonly [string, Reply, ErrorCode][] = [
    ['503 sealed', refused(503, 'Vault is sealed'), 'ERR_VAULT_SEALED'],
    [
      '503 without active node',
      refused(503, 'local node not active but active cluster node not found'),
      'ERR_VAULT_SEALED',
    ],
    ['503 of a proxy', { status: 503, body: 'upstream connect error' }, 'ERR_VAULT_SERVER'],
    ['500', refused(500, 'internal error'), 'ERR_VAULT_SERVER'],
    ['502', { status: 502, body: '<html/>' }, 'ERR_VAULT_SERVER'],
    ['429', refused(429, 'request path "x": rate limit quota exceeded'), 'ERR_VAULT_THROTTLED'],
    ['400', refused(400, 'unknown role: web'), 'ERR_VAULT_BAD_REQUEST'],
    [
      '405',
      refused(405, '1 error occurred:\n\t* unsupported operation\n\n'),
      'ERR_VAULT_UNSUPPORTED',
    ],
  ];
  for (const [name, reply, code] of TABLE) {
    test(`${name}: ${code}`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client } = makeClient(t, server.address);
      await failure(client.fetch(TOKEN, WRITE, NEVER), code);
    });
  }

  test('Retry-After is passed on', async (t) => {
    const reply = { status: 429, headers: { 'Retry-After': '7' }, body: { errors: [] } };
    const server = await startScripted(t, inOrder(reply));
    const { client } = makeClient(t, server.address);
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_THROTTLED');
    assert.equal(error.retryAfterMs, 7000);
  });

  test('412 is tried again after a wait, a few times', async (t) => {
    const behind = refused(412, 'required index state not present');
    const server = await startScripted(t, inOrder(behind, behind, answer({ a: 1 })));
    const { client, clock, counted } = makeClient(t, server.address);
    const { data } = await drive(clock, client.fetch(TOKEN, WRITE, NEVER));
    assert.deepEqual(data, { a: 1 });
    assert.ok(clock.monotonicMs() >= 200);
    assert.deepEqual(counted, ['write ok']);
  });

  test('412 for good is a server error', async (t) => {
    const behind = refused(412, 'required index state not present');
    const server = await startScripted(t, inOrder(behind, behind, behind, behind));
    const { client, clock } = makeClient(t, server.address);
    const call = failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_SERVER');
    assert.match((await drive(clock, call)).message, /not caught up/);
  });
});

suite('no answer', () => {
  for (const reply of ['hang', 'stall'] as const) {
    test(`${reply}: ERR_VAULT_TIMEOUT at the deadline`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client, clock } = makeClient(t, server.address, { timeoutMs: 50 });
      const call = failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TIMEOUT');
      await server.arrived(1);
      const error = await drive(clock, call);
      assert.match(error.message, /within 0\.15 s/);
      assert.equal(clock.sleeping, 0);
    });

    test(`${reply}: an abort ends it with the reason and closes the connection`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client, counted } = makeClient(t, server.address);
      const abort = new AbortController();
      const reason = new Error('shutting down');
      const call = client.fetch(TOKEN, WRITE, abort.signal);
      await server.arrived(1);
      abort.abort(reason);
      await assert.rejects(call, (error) => error === reason);
      assert.deepEqual(counted, ['write aborted']);
    });
  }

  test('an aborted signal sends nothing', async (t) => {
    const server = await startScripted(t, inOrder());
    const { client } = makeClient(t, server.address);
    const reason = new Error('too late');
    const call = client.fetch(TOKEN, WRITE, AbortSignal.abort(reason));
    await assert.rejects(call, (error) => error === reason);
    assert.equal(server.requests.length, 0);
  });

  test('a closed port: ERR_VAULT_UNREACHABLE with the address', async (t) => {
    const port = await closedPort();
    const { client } = makeClient(t, `http://127.0.0.1:${port}`);
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}: .*refused`));
  });

  test('an unknown host: ERR_VAULT_UNREACHABLE', async (t) => {
    const { client } = makeClient(t, 'http://no-such-host.invalid:8200');
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_UNREACHABLE');
  });
});

suite('a redirect', () => {
  test('is followed with method, body and token', async (t) => {
    const active = await startScripted(t, inOrder(answer({ a: 1 })));
    const location = `${active.address}/v1/transit/random`;
    const standby = await startScripted(
      t,
      inOrder({ status: 307, headers: { Location: location } }),
    );
    const { client } = makeClient(t, standby.address);
    assert.deepEqual((await client.fetch(TOKEN, WRITE, NEVER)).data, { a: 1 });
    const [request] = active.requests;
    assert.equal(request?.method, 'POST');
    assert.deepEqual(request.json, { bytes: 3 });
    assert.equal(request.headers['x-vault-token'], TOKEN.reveal());
  });

  test('may be relative, and may be from http to https', async (t) => {
    const tls = await tlsServer(t);
    tls.script = inOrder(
      { status: 308, headers: { Location: '/elsewhere/v1/transit/random' } },
      answer({ a: 1 }),
    );
    const plain = await startScripted(
      t,
      inOrder({ status: 307, headers: { Location: `${tls.address}/v1/transit/random` } }),
    );
    const { client } = makeClient(t, plain.address, { ca: () => ca.caPem });
    assert.deepEqual((await client.fetch(TOKEN, WRITE, NEVER)).data, { a: 1 });
    assert.equal(tls.requests[1]?.path, '/elsewhere/v1/transit/random');
  });

  test('from https to http is rejected, and the token stays at home', async (t) => {
    const plain = await startScripted(t, inOrder());
    const tls = await tlsServer(t);
    tls.script = inOrder({ status: 307, headers: { Location: `${plain.address}/v1/x` } });
    const { client } = makeClient(t, tls.address, { ca: () => ca.caPem });
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
    assert.match(error.message, /without TLS/);
    assert.equal(plain.requests.length, 0);
  });

  const REFUSED: readonly [string, string][] = [
    ['', 'to an invalid address'],
    ['http://[', 'to an invalid address'],
    ['file:///etc/passwd', 'without TLS'],
    ['http://user:word@127.0.0.1/', 'with a password'],
  ];
  for (const [location, message] of REFUSED) {
    test(`to "${location}" is rejected`, async (t) => {
      const server = await startScripted(
        t,
        inOrder({ status: 307, headers: { Location: location } }),
      );
      const { client } = makeClient(t, server.address);
      const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
      assert.ok(error.message.includes(message), error.message);
    });
  }

  test('in a circle is given up', async (t) => {
    const server = await startScripted(t, () => ({ status: 307, headers: { Location: '/v1/x' } }));
    const { client } = makeClient(t, server.address);
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_REDIRECT');
    assert.match(error.message, /more than 2 times/);
    assert.equal(server.requests.length, 3);
  });
});

suite('TLS', () => {
  test('a server certificate of the given CA is accepted', async (t) => {
    const server = await tlsServer(t);
    const { client } = makeClient(t, server.address, { ca: () => ca.caPem });
    await client.fetch(TOKEN, WRITE, NEVER);
  });

  test('one of another CA is not', async (t) => {
    const server = await tlsServer(t);
    const { client } = makeClient(t, server.address, { ca: () => createTestCa().caPem });
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.match(error.message, /CA/);
    assert.equal(server.requests.length, 0);
  });

  test('without a CA the public ones are trusted, so it is rejected', async (t) => {
    const server = await tlsServer(t);
    const { client } = makeClient(t, server.address);
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.match(error.message, /not trusted; set the CA \(/);
  });

  test('without a CA it is rejected even where the environment says otherwise', async (t) => {
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    t.after(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
    const server = await tlsServer(t);
    const { client } = makeClient(t, server.address);
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
  });

  test('one for another name is rejected, unless that name is set', async (t) => {
    const server = await tlsServer(t, ca.issue({ dnsNames: ['vault.example'], ips: [] }));
    const wrong = makeClient(t, server.address, { ca: () => ca.caPem });
    const error = await failure(wrong.client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.match(error.message, /another name/);
    assert.equal(error.details['reason'], 'ERR_TLS_CERT_ALTNAME_INVALID');
    const tlsServerName = 'vault.example';
    const right = makeClient(t, server.address, { ca: () => ca.caPem, tlsServerName });
    await right.client.fetch(TOKEN, WRITE, NEVER);
  });

  test('an expired one is rejected', async (t) => {
    const server = await tlsServer(t, ca.issue({ ttlMs: -1000 }));
    const { client } = makeClient(t, server.address, { ca: () => ca.caPem });
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.match(error.message, /expired \(CERT_HAS_EXPIRED\)/);
  });

  test('TLS 1.1 is rejected', async (t) => {
    const old = { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL@SECLEVEL=0' } as const;
    const { certPem: cert, keyPem: key } = ca.issue();
    const server = await startScripted(t, inOrder(), { cert, key, ...old });
    const { client } = makeClient(t, server.address, { ca: () => ca.caPem });
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
  });

  test('https to a server without TLS says so', async (t) => {
    const server = await startScripted(t, inOrder());
    const { client } = makeClient(t, server.address.replace('http:', 'https:'));
    const error = await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    assert.match(error.message, /does not speak TLS/);
  });

  test('a changed CA is used from the next request on', async (t) => {
    const server = await tlsServer(t);
    let pem = ca.caPem;
    const { client } = makeClient(t, server.address, { ca: () => pem });
    await client.fetch(TOKEN, WRITE, NEVER);
    pem = createTestCa().caPem;
    await failure(client.fetch(TOKEN, WRITE, NEVER), 'ERR_VAULT_TLS');
    pem = `${pem}\n${ca.caPem}`;
    await client.fetch(TOKEN, WRITE, NEVER);
    assert.equal(server.requests.length, 2);
  });
});

async function tlsServer(t: TestContext, issued = ca.issue()): ReturnType<typeof startScripted> {
  const { certPem: cert, keyPem: key } = issued;
  return await startScripted(t, () => answer({}), { cert, key });
}

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

/** Moves the clock on whenever the client waits, until the call ends. */
async function drive<T>(clock: FakeClock, call: Promise<T>): Promise<T> {
  const ended = call.then(
    () => true,
    () => true,
  );
  while (!(await Promise.race([ended, settle().then(() => false)]))) {
    if (clock.sleeping > 0) await clock.advance(50);
  }
  return await call;
}
