import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loginOnce, type LoginParts } from '../../../src/agent/login.ts';
import type { LoginRequest } from '../../../src/contracts/index.ts';
import { Secret } from '../../../src/core/index.ts';
import { agentConfig } from '../../helpers/agent-harness.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { ModelIdentity } from '../../helpers/model-identity.ts';

const SIGNAL = new AbortController().signal;

interface Bench {
  readonly parts: LoginParts;
  readonly identity: ModelIdentity;
  readonly requests: LoginRequest[];
}

function bench(auth: Readonly<Record<string, unknown>>, tokenFile?: string): Bench {
  const clock = new FakeClock();
  const identity = new ModelIdentity(clock);
  const requests: LoginRequest[] = [];
  const config = agentConfig({ auth, files: [{ name: 'a', secret: 'kv/a' }] });
  assert.ok(config.auth);
  const token = {
    token: new Secret('t'),
    accessor: undefined,
    ttlMs: 0,
    renewable: false,
    type: 'service' as const,
    numUses: 0,
  };
  const parts: LoginParts = {
    auth: config.auth,
    grants: undefined,
    vault: {
      login(request) {
        requests.push(request);
        return Promise.resolve(token);
      },
    },
    identity,
    files: {
      read: () =>
        tokenFile === undefined ? Promise.reject(new Error('EACCES')) : Promise.resolve(tokenFile),
    },
    clock,
  };
  return { parts, identity, requests };
}

test('a JWT login fetches a fresh JWT-SVID for the audience each time', async () => {
  const { parts, identity, requests } = bench({
    method: 'jwt',
    mount: 'spire',
    role: 'web',
    audience: 'v',
  });
  await loginOnce(parts, SIGNAL);
  await loginOnce(parts, SIGNAL);
  assert.deepEqual(identity.minted, ['v', 'v']);
  assert.deepEqual(
    requests.map(({ method, mount, role }) => [method, mount, role]),
    [
      ['jwt', 'spire', 'web'],
      ['jwt', 'spire', 'web'],
    ],
  );
  assert.equal(
    requests.map((request) => ('jwt' in request ? request.jwt.reveal() : '')).join(),
    'jwt-1,jwt-2',
  );
});

test('a role that is not set is not sent', async () => {
  const { parts, requests } = bench({ method: 'jwt' });
  await loginOnce(parts, SIGNAL);
  assert.ok(!('role' in (requests[0] ?? {})));
});

test('a cert login presents the newest X.509-SVID', async () => {
  const { parts, identity, requests } = bench({ method: 'cert', role: 'web' });
  identity.rotate('one');
  await loginOnce(parts, SIGNAL);
  const [request] = requests;
  assert.ok(request?.method === 'cert');
  const { certificatePem, keyPem } = request.certificate;
  assert.deepEqual([certificatePem, keyPem.reveal()], ['svid one', 'key one']);
  assert.deepEqual(identity.minted, []);
});

test('a JWT-SVID that has ended, or is about to, is not sent', async () => {
  for (const jwtTtlMs of [-1000, 0, 1999]) {
    const { parts, identity, requests } = bench({ method: 'jwt' });
    identity.jwtTtlMs = jwtTtlMs;
    await assert.rejects(loginOnce(parts, SIGNAL), { code: 'ERR_SPIFFE_SVID_INVALID' });
    assert.deepEqual(requests, []);
  }
});

test('a token file is read at each login', async () => {
  const { parts, identity, requests } = bench(
    { method: 'kubernetes', role: 'web', tokenFile: '/t' },
    'a.b.c\n',
  );
  await loginOnce(parts, SIGNAL);
  const [request] = requests;
  assert.ok(request?.method === 'kubernetes');
  assert.equal(request.jwt.reveal(), 'a.b.c');
  assert.deepEqual(identity.minted, []);
});

test('an invalid token file is rejected without its text', async () => {
  for (const text of [undefined, '', 'planted-value', 'a.b', '{"a.b.c": 1}']) {
    const { parts, requests } = bench({ method: 'jwt', tokenFile: '/t' }, text);
    await assert.rejects(loginOnce(parts, SIGNAL), (error: Error & { code?: unknown }) => {
      assert.equal(error.code, 'ERR_VAULT_TOKEN_FILE');
      assert.ok(!error.message.includes('planted-value'));
      return true;
    });
    assert.deepEqual(requests, []);
  }
});

test('a login without an identity names the missing setting', async () => {
  const { parts } = bench({ method: 'jwt' });
  await assert.rejects(loginOnce({ ...parts, identity: undefined }, SIGNAL), {
    code: 'ERR_CONFIG_INVALID',
    message: /spiffe\.socket/,
  });
});
