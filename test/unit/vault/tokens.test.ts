import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrorCode } from '../../../src/core/index.ts';
import { byRoute, inOrder, startScripted, type Reply } from '../../helpers/scripted-http.ts';
import {
  answer,
  DENIED,
  failure,
  INVALID_TOKEN,
  makeClient,
  NEVER,
  PREFLIGHT,
  refused,
  TOKEN,
} from './harness.ts';

const LEASE = 'database/creds/app/2f6a614c';

suite('a token', () => {
  test('renews itself', async (t) => {
    const auth = { lease_duration: 3600, renewable: true };
    const server = await startScripted(t, inOrder(answer(null, { auth })));
    const { client } = makeClient(t, server.address);
    const renewed = await client.renewToken(TOKEN, NEVER);
    assert.deepEqual(renewed, { ttlMs: 3_600_000, renewable: true });
    assert.equal(server.requests[0]?.path, '/v1/auth/token/renew-self');
  });

  const RENEWALS: readonly [string, Reply[], ErrorCode][] = [
    ['that Vault does not know', [INVALID_TOKEN], 'ERR_VAULT_TOKEN_INVALID'],
    ['that may not renew itself', [DENIED, answer({})], 'ERR_VAULT_DENIED'],
    ['that an older Vault does not know', [DENIED, DENIED, DENIED], 'ERR_VAULT_TOKEN_INVALID'],
    ['that may do nothing', [DENIED, DENIED, PREFLIGHT], 'ERR_VAULT_DENIED'],
    ['where asking back fails', [DENIED, 'reset'], 'ERR_VAULT_DENIED'],
    [
      'of the batch kind',
      [refused(400, 'batch tokens cannot be renewed')],
      'ERR_VAULT_BAD_REQUEST',
    ],
    ['when the answer has no auth', [answer({})], 'ERR_VAULT_MALFORMED'],
  ];
  for (const [name, replies, code] of RENEWALS) {
    test(`${name} is not renewed: ${code}`, async (t) => {
      const server = await startScripted(t, inOrder(...replies));
      const { client } = makeClient(t, server.address);
      await failure(client.renewToken(TOKEN, NEVER), code);
      assert.equal(server.requests.length, replies.length);
    });
  }

  const CHECKS: readonly [string, boolean, Reply[]][] = [
    ['looks itself up', true, [answer({ ttl: 5 })]],
    ['is unknown', false, [INVALID_TOKEN]],
    ['is bad', false, [refused(403, 'bad token')]],
    ['may not look itself up', true, [DENIED, PREFLIGHT]],
    ['may not look itself up, but sees a mount', true, [DENIED, answer({ path: 'cubbyhole/' })]],
    ['is denied everything, as older versions do with unknown ones', false, [DENIED, DENIED]],
    ['meets a Vault without the path', true, [DENIED, refused(404)]],
  ];
  for (const [name, valid, replies] of CHECKS) {
    test(`that ${name} is ${valid ? 'valid' : 'not valid'}`, async (t) => {
      const server = await startScripted(t, inOrder(...replies));
      const { client } = makeClient(t, server.address);
      assert.equal(await client.tokenIsValid(TOKEN, NEVER), valid);
    });
  }

  for (const [reply, code] of [
    ['reset', 'ERR_VAULT_UNREACHABLE'],
    [refused(503, 'Vault is sealed'), 'ERR_VAULT_SEALED'],
    [refused(500, 'internal error'), 'ERR_VAULT_SERVER'],
  ] as const) {
    test(`${code} says nothing about its validity`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client } = makeClient(t, server.address);
      await failure(client.tokenIsValid(TOKEN, NEVER), code);
    });
  }

  const REVOKED: readonly [string, Reply[]][] = [
    ['is revoked', [{ status: 204 }]],
    ['is gone already', [INVALID_TOKEN]],
    ['is gone already, in the words of OpenBao', [DENIED, DENIED, DENIED]],
  ];
  for (const [name, replies] of REVOKED) {
    test(`that ${name} needs no other try`, async (t) => {
      const server = await startScripted(t, inOrder(...replies));
      const { client } = makeClient(t, server.address);
      await client.revokeToken(TOKEN, NEVER);
      assert.equal(server.requests[0]?.path, '/v1/auth/token/revoke-self');
      assert.equal(server.requests.length, replies.length);
    });
  }

  test('that may not revoke itself is reported as denied', async (t) => {
    const server = await startScripted(t, inOrder(DENIED, answer({ ttl: 5 })));
    const { client } = makeClient(t, server.address);
    await failure(client.revokeToken(TOKEN, NEVER), 'ERR_VAULT_DENIED');
  });

  test('is not revoked when Vault cannot be reached', async (t) => {
    const server = await startScripted(t, inOrder('reset'));
    const { client } = makeClient(t, server.address);
    await failure(client.revokeToken(TOKEN, NEVER), 'ERR_VAULT_UNREACHABLE');
  });
});

suite('a lease', () => {
  test('is renewed, by whole seconds', async (t) => {
    const lease = { lease_id: LEASE, lease_duration: 30, renewable: true };
    const server = await startScripted(t, () => answer(null, lease));
    const { client } = makeClient(t, server.address);
    const renewed = await client.renewLease(TOKEN, LEASE, 59_001, NEVER);
    assert.deepEqual(renewed, { durationMs: 30_000, renewable: true });
    assert.equal(server.requests[0]?.path, '/v1/sys/leases/renew');
    assert.deepEqual(server.requests[0].json, { lease_id: LEASE, increment: 60 });
    await client.renewLease(TOKEN, LEASE, undefined, NEVER);
    assert.deepEqual(server.requests[1]?.json, { lease_id: LEASE });
  });

  for (const text of [
    'lease not found',
    'lease expired',
    'invalid lease ID',
    'cannot renew lease, no valid associated token',
  ]) {
    test(`is gone: ${text}`, async (t) => {
      const server = await startScripted(t, () => refused(400, text));
      const { client } = makeClient(t, server.address);
      const call = client.renewLease(TOKEN, LEASE, undefined, NEVER);
      const error = await failure(call, 'ERR_VAULT_LEASE_GONE');
      assert.equal(error.details['path'], 'database/creds/app');
      await client.revokeLease(TOKEN, LEASE, NEVER);
    });
  }

  test('whose database is away is not lost, and the error names its secret', async (t) => {
    const said = 'failed to renew entry: resp: (*logical.Response)(nil) err: connection refused';
    const server = await startScripted(t, () => refused(400, said));
    const { client } = makeClient(t, server.address);
    const call = client.renewLease(TOKEN, LEASE, undefined, NEVER);
    const { message } = await failure(call, 'ERR_VAULT_SERVER');
    assert.match(message, /lease of database\/creds\/app; check the system behind it/);
    assert.match(message, /connection refused/);
  });

  test('that cannot be renewed keeps the life it has', async (t) => {
    const replies = [refused(400, 'lease is not renewable'), answer({ ttl: 47, renewable: false })];
    const server = await startScripted(t, inOrder(...replies));
    const { client } = makeClient(t, server.address);
    const renewed = await client.renewLease(TOKEN, LEASE, undefined, NEVER);
    assert.deepEqual(renewed, { durationMs: 47_000, renewable: false });
    assert.equal(server.requests[1]?.path, '/v1/sys/leases/lookup');
  });

  test('that is renewed for no time keeps the life it has', async (t) => {
    const renewal = answer(null, { lease_id: LEASE, lease_duration: 0, renewable: true });
    const server = await startScripted(t, inOrder(renewal, answer({ ttl: 47 })));
    const { client } = makeClient(t, server.address);
    const renewed = await client.renewLease(TOKEN, LEASE, undefined, NEVER);
    assert.deepEqual(renewed, { durationMs: 47_000, renewable: false });
  });

  test('that cannot be renewed and is gone meanwhile is gone', async (t) => {
    const replies = [refused(400, 'lease is not renewable'), refused(400, 'invalid lease')];
    const server = await startScripted(t, inOrder(...replies));
    const { client } = makeClient(t, server.address);
    const call = client.renewLease(TOKEN, LEASE, undefined, NEVER);
    await failure(call, 'ERR_VAULT_LEASE_GONE');
  });

  const FAILURES: readonly [Reply, ErrorCode][] = [
    [refused(400, 'request is wrong'), 'ERR_VAULT_BAD_REQUEST'],
    [INVALID_TOKEN, 'ERR_VAULT_TOKEN_INVALID'],
    [refused(500, 'internal error'), 'ERR_VAULT_SERVER'],
    ['cut', 'ERR_VAULT_MALFORMED'],
  ];
  for (const [reply, code] of FAILURES) {
    test(`is not gone because of ${code}`, async (t) => {
      const server = await startScripted(t, inOrder(reply));
      const { client } = makeClient(t, server.address);
      await failure(client.renewLease(TOKEN, LEASE, undefined, NEVER), code);
    });
  }

  test('that the token may not renew is denied, not gone', async (t) => {
    const routes = {
      'POST /v1/sys/leases/renew': DENIED,
      'GET /v1/auth/token/lookup-self': answer({}),
    };
    const server = await startScripted(t, byRoute(routes));
    const { client } = makeClient(t, server.address);
    const call = client.renewLease(TOKEN, LEASE, undefined, NEVER);
    await failure(call, 'ERR_VAULT_DENIED');
  });

  test('is revoked, be it later (202) or at once', async (t) => {
    const server = await startScripted(t, inOrder({ status: 202 }, { status: 204 }));
    const { client } = makeClient(t, server.address);
    await client.revokeLease(TOKEN, LEASE, NEVER);
    await client.revokeLease(TOKEN, LEASE, NEVER);
    assert.deepEqual(server.requests[0]?.json, { lease_id: LEASE });
  });

  test('that the token may not revoke stays', async (t) => {
    const server = await startScripted(t, inOrder(DENIED, answer({ ttl: 5 })));
    const { client } = makeClient(t, server.address);
    await failure(client.revokeLease(TOKEN, LEASE, NEVER), 'ERR_VAULT_DENIED');
  });

  test('of an unknown token is not called a missing policy', async (t) => {
    const server = await startScripted(t, inOrder(DENIED, DENIED, DENIED));
    const { client } = makeClient(t, server.address);
    await failure(client.revokeLease(TOKEN, LEASE, NEVER), 'ERR_VAULT_TOKEN_INVALID');
  });
});
