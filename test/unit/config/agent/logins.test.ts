import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAgentConfig } from '../../../../src/config/agent/index.ts';

const DOCUMENT = {
  apiVersion: 'vouchsafe.dev/v1',
  kind: 'AgentConfig',
  spiffe: { socket: 'unix:///run/agent.sock' },
  vault: { address: 'https://vault:8200', namespace: 'own' },
  auth: { role: 'web', mount: 'jwt-web' },
};

test('a login has the connection and the login of the document where it sets none', () => {
  const { vault, auth, logins, files } = parseAgentConfig({
    ...DOCUMENT,
    logins: [
      { name: 'admin', auth: { role: 'admin' } },
      { name: 'other', vault: { address: 'https://other:8200' } },
    ],
    files: [
      { name: 'a', secret: 'kv/a' },
      { name: 'b', secret: 'kv/a', login: 'other' },
    ],
  });
  const [admin, other] = logins;
  assert.deepEqual(admin?.vault, vault);
  assert.deepEqual([admin?.auth.role, admin?.auth.mount], ['admin', 'jwt']);
  assert.equal(other?.vault.address, 'https://other:8200');
  assert.equal(other.vault.namespace, undefined, 'a connection is taken as a whole');
  assert.deepEqual(other.auth, auth);
  assert.deepEqual(
    files.map(({ login }) => login),
    [undefined, 'other'],
  );
});

test('the environment is for the connection of the document only', () => {
  const { vault, logins } = parseAgentConfig(
    {
      ...DOCUMENT,
      vault: { address: 'https://vault:8200' },
      logins: [{ name: 'other', vault: { address: 'https://other:8200' } }],
      files: [{ name: 'a', secret: 'kv/a' }],
    },
    { vaultNamespace: 'team' },
  );
  assert.deepEqual([vault?.namespace, logins[0]?.vault.namespace], ['team', undefined]);
});

const FILE = { name: 'a', secret: 'kv/a' };
const REFUSED: Readonly<Record<string, readonly [object, RegExp]>> = {
  'an unknown login': [
    { files: [{ ...FILE, login: 'other' }] },
    /files: "a" names the login "other", which does not exist/,
  ],
  'two of one name': [
    { logins: [{ name: 'x' }, { name: 'x' }], files: [FILE] },
    /logins: the name "x" is used twice/,
  ],
  'no name': [{ logins: [{}], files: [FILE] }, /logins\[0\]\.name/],
  'a connection without an address': [
    { logins: [{ name: 'x', vault: { namespace: 'team' } }], files: [FILE] },
    /logins\[0\]\.vault\.address: is missing/,
  ],
  'a method without its role': [
    { logins: [{ name: 'x', auth: { method: 'kubernetes' } }], files: [FILE] },
    /logins\[0\]\.auth\.role: is missing/,
  ],
  'one for a JWT-SVID': [
    { logins: [{ name: 'x' }], files: [{ name: 'a', jwtSvid: ['b'], login: 'x' }] },
    /files\[0\]\.login: conflicts with jwtSvid/,
  ],
  'one that needs an SVID without a Workload API': [
    {
      spiffe: undefined,
      auth: { tokenFile: '/token' },
      logins: [{ name: 'x', auth: { role: 'r' } }],
      files: [FILE],
    },
    /spiffe\.socket: is missing/,
  ],
  'too many': [
    { logins: Array.from({ length: 16 }, (_, index) => ({ name: `x${index}` })), files: [FILE] },
    /logins: must be a list of at most 15 items/,
  ],
};
for (const [name, [document, problem]] of Object.entries(REFUSED)) {
  test(`rejected: ${name}`, () => {
    const merged = JSON.parse(JSON.stringify({ ...DOCUMENT, ...document })) as unknown; // without what is undefined
    assert.throws(() => parseAgentConfig(merged), problem);
  });
}
