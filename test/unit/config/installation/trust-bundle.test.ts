import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstallation, type TrustBundle } from '../../../../src/config/installation/index.ts';

const SIGNER = 'example.org/vault';

function valuesOf(clusterTrustBundle: unknown, more: object = {}): object {
  const a = { address: 'https://v', clusterTrustBundle, ...more };
  return { vault: { connections: { a } } };
}

function bundleOf(given: unknown): TrustBundle | undefined {
  return parseInstallation(valuesOf(given)).vault.connections['a']?.clusterTrustBundle;
}

test('a bundle by name', () => {
  const name = 'example.org:vault:v1';
  assert.deepEqual(bundleOf({ name }), { source: { name }, file: 'a.crt' });
});

test('a signer without a selector trusts all of its bundles: an absent selector would select none', () => {
  assert.deepEqual(bundleOf({ signerName: SIGNER }), {
    source: { signerName: SIGNER, labelSelector: {} },
    file: 'a.crt',
  });
});

test('a signer with a selector has it as it is in a projected volume', () => {
  const labelSelector = {
    matchLabels: { 'example.org/live': 'true', empty: '' },
    matchExpressions: [
      { key: 'env', operator: 'In', values: ['prod', 'stage'] },
      { key: 'old', operator: 'DoesNotExist' },
    ],
  };
  const found = bundleOf({ signerName: SIGNER, labelSelector });
  assert.deepEqual(found?.source, { signerName: SIGNER, labelSelector });
});

const REJECTED: Readonly<Record<string, readonly [unknown, RegExp]>> = {
  'neither name nor signer': [{}, /a\.clusterTrustBundle\.name: is missing/],
  'name and signer': [
    { name: 'b', signerName: SIGNER },
    /clusterTrustBundle\.signerName: conflicts with name/,
  ],
  'a selector of a name': [
    { name: 'b', labelSelector: { matchLabels: { a: 'b' } } },
    /labelSelector: has no effect without signerName/,
  ],
  'a signer without a domain': [{ signerName: 'vault' }, /signerName: must be a signer such as/],
  'a signer that changes the selector of fields': [
    { signerName: 'example.org/a,spec.signerName=b' },
    /signerName: must be a signer/,
  ],
  'a name with a slash': [{ name: 'a/b' }, /name: must be the name of a ClusterTrustBundle/],
  'a misspelt field': [{ nmae: 'b' }, /nmae: is not known; did you mean "name"/],
  'a label that is not one': [
    { signerName: SIGNER, labelSelector: { matchLabels: { 'a b': 'c' } } },
    /matchLabels\.a b: the name must match/,
  ],
  'an unknown operator': [
    { signerName: SIGNER, labelSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] } },
    /matchExpressions\[0\]\.operator: must be one of/,
  ],
  'a requirement without operator': [
    { signerName: SIGNER, labelSelector: { matchExpressions: [{ key: 'a' }] } },
    /matchExpressions\[0\]\.operator: is missing/,
  ],
  'In without values': [
    { signerName: SIGNER, labelSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
    /matchExpressions\[0\]\.values: must not be empty/,
  ],
  'Exists with values': [
    {
      signerName: SIGNER,
      labelSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] },
    },
    /matchExpressions\[0\]\.values: conflicts with Exists/,
  ],
  'no object': ['b', /a\.clusterTrustBundle: must be an object/],
};

for (const [name, [given, pattern]] of Object.entries(REJECTED)) {
  test(`rejected: ${name}`, () => {
    assert.throws(() => bundleOf(given), pattern);
  });
}

test('rejected: a second source of the CA', () => {
  const name = { name: 'b' };
  const caPem = '-----BEGIN CERTIFICATE-----';
  const caConfigMap = { name: 'a', key: 'b' };
  const rejected = (more: object): RegExp => {
    const [first = ''] = Object.keys(more);
    return new RegExp(`a\\.${first}: conflicts with clusterTrustBundle`);
  };
  for (const more of [{ caPem }, { caConfigMap }]) {
    assert.throws(() => parseInstallation(valuesOf(name, more)), rejected(more));
  }
});
