import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createObtainer } from '../../../src/agent/obtain.ts';
import { loginOnce } from '../../../src/agent/login.ts';
import { OPERATIONS, Secret, type Dependency, type Grants } from '../../../src/core/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { ModelIdentity } from '../../helpers/model-identity.ts';

const GRANTS: Grants = [
  { policy: 'p', paths: ['kvv2/own/*'], operations: ['read'], audiences: ['api://*'] },
];
const { signal } = new AbortController();

function obtainer(grants: Grants | undefined) {
  const clock = new FakeClock();
  const identity = new ModelIdentity(clock);
  identity.rotate('own');
  // Without a login whatever gets past the guard fails as one that has no Vault.
  return createObtainer({
    logins: new Map(),
    identity,
    clock,
    grants,
    random: { next: () => 0.5 },
  });
}

function fetch(grants: Grants | undefined, dependency: Dependency): Promise<unknown> {
  return obtainer(grants).fetch({ dependency, refreshMs: 60_000, held: undefined }, signal);
}

const REFUSED: Readonly<Record<string, Dependency>> = {
  'another path': { kind: 'read', path: 'kvv2/other' },
  'its token': { kind: 'read', path: 'auth/token/lookup-self' },
  'a list': { kind: 'list', path: 'kvv2/own/x' },
  'a write': { kind: 'write', path: 'kvv2/own/x', params: { value: 'planted' } },
  'a certificate': { kind: 'pki', path: 'kvv2/own/x', params: { common_name: 'planted' } },
  'another audience': { kind: 'jwt-svid', audiences: ['vault'] },
};

for (const [name, dependency] of Object.entries(REFUSED)) {
  test(`denied before any request: ${name}`, async () => {
    await assert.rejects(fetch(GRANTS, dependency), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_POLICY_DENIED');
      assert.match(error.message, /policy "p" does not allow/);
      assert.doesNotMatch(error.message, /planted/);
      return true;
    });
  });
}

test('granted dependencies are fetched, and all of them without limits', async () => {
  const noVault = { code: 'ERR_CONFIG_INVALID' };
  await assert.rejects(fetch(GRANTS, { kind: 'read', path: 'kvv2/own/x' }), noVault);
  await assert.rejects(fetch(undefined, { kind: 'read', path: 'auth/token/lookup-self' }), noVault);
  await fetch(GRANTS, { kind: 'jwt-svid', audiences: ['api://x'] });
});

test('the own identity of a pod is not limited by policies, not even when none allows its login', async () => {
  for (const grants of [GRANTS, []]) {
    await fetch(grants, { kind: 'x509-svid' });
    await fetch(grants, { kind: 'spiffe-id' });
  }
});

test('without any grant, the SVID that would be written and the login are rejected', async () => {
  const audience: Dependency = { kind: 'jwt-svid', audiences: ['api://x'] };
  await assert.rejects(fetch([], audience), { code: 'ERR_POLICY_DENIED' });
  const clock = new FakeClock();
  let logins = 0;
  const login = (grants: Grants) =>
    loginOnce(
      {
        auth: { method: 'jwt', mount: 'jwt', role: 'web', audience: 'vault', tokenFile: undefined },
        grants,
        vault: {
          login: () => {
            logins += 1;
            return Promise.resolve({
              token: new Secret('t'),
              accessor: undefined,
              ttlMs: 0,
              renewable: false,
              type: 'service' as const,
              numUses: 0,
            });
          },
        },
        identity: new ModelIdentity(clock),
        files: { read: () => Promise.reject(new Error('no file is needed')) },
        clock,
      },
      signal,
    );
  await assert.rejects(login([]), { code: 'ERR_POLICY_DENIED' });
  assert.equal(logins, 0);
  await login([{ policy: 'p', paths: [], operations: OPERATIONS, audiences: [] }]);
  assert.equal(logins, 1);
});
