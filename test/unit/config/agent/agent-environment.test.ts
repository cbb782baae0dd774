import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { agentEnvironment, vaultVariable } from '../../../../src/config/agent/index.ts';

/** The variables of a process. */
function readFrom(variables: Readonly<Record<string, string>>) {
  return (name: string): string | undefined => variables[name];
}

const VAULT = {
  VAULT_ADDR: 'https://vault.example:8200',
  VAULT_NAMESPACE: 'team',
  VAULT_CACERT: '/vault.pem',
  VAULT_PROXY_ADDR: 'http://proxy.example:3128',
};
const BAO = {
  BAO_ADDR: 'https://bao.example:8200',
  BAO_NAMESPACE: 'group',
  BAO_CACERT: '/bao.pem',
  BAO_PROXY_ADDR: 'http://other.example:3128',
};

suite('variables of the environment', () => {
  test('are those of Vault', () => {
    assert.deepEqual(
      agentEnvironment(readFrom({ ...VAULT, SPIFFE_ENDPOINT_SOCKET: 'unix:///s' })),
      {
        spiffeEndpointSocket: 'unix:///s',
        vaultAddress: 'https://vault.example:8200',
        vaultNamespace: 'team',
        vaultCaFile: '/vault.pem',
        vaultProxy: 'http://proxy.example:3128',
      },
    );
  });

  test('are those of OpenBao, which take precedence', () => {
    assert.deepEqual(agentEnvironment(readFrom({ ...VAULT, ...BAO })), {
      spiffeEndpointSocket: undefined,
      vaultAddress: 'https://bao.example:8200',
      vaultNamespace: 'group',
      vaultCaFile: '/bao.pem',
      vaultProxy: 'http://other.example:3128',
    });
  });

  const PROXIES: readonly [string, Readonly<Record<string, string>>, string | undefined][] = [
    [
      'the newer name of Vault before the older one of OpenBao',
      { VAULT_PROXY_ADDR: 'a', BAO_HTTP_PROXY: 'b' },
      'a',
    ],
    [
      'the older name of OpenBao before that of Vault',
      { BAO_HTTP_PROXY: 'a', VAULT_HTTP_PROXY: 'b' },
      'a',
    ],
    ['the older name of Vault', { VAULT_HTTP_PROXY: 'a' }, 'a'],
    ['an empty one is not set', { BAO_PROXY_ADDR: '', VAULT_PROXY_ADDR: 'a' }, 'a'],
    ['none of the platform', { HTTPS_PROXY: 'a', HTTP_PROXY: 'b' }, undefined],
  ];
  for (const [name, variables, expected] of PROXIES) {
    test(`proxy: ${name}`, () => {
      assert.equal(vaultVariable(readFrom(variables), 'PROXY_ADDR', 'HTTP_PROXY'), expected);
    });
  }
});
