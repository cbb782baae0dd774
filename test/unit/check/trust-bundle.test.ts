/** `vouchsafe check` of connections whose CA is in ClusterTrustBundles. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createTestCa } from '../../../src/dev/ca/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
import { AT, CA, check, type Objects } from './harness.ts';

const V1 = '/apis/certificates.k8s.io/v1';
const BETA = '/apis/certificates.k8s.io/v1beta1';
const SERVED = { resources: [{ name: 'clustertrustbundles' }] };
const NODES = '/api/v1/nodes';
const EXPIRED = createTestCa(new FakeClock(Date.UTC(2025, 0, 1))).caPem;

function values(clusterTrustBundle: object): Objects {
  const prod = { address: 'https://vault:8200', clusterTrustBundle };
  const text = JSON.stringify({ vault: { connections: { prod } } });
  return { [AT.values]: { metadata: {}, data: { 'values.yaml': text } } };
}

function bundle(trustBundle: string, labels: object = {}): object {
  return { metadata: { name: 'b', labels }, spec: { trustBundle } };
}

function nodes(...versions: readonly string[]): Objects {
  const items = versions.map((kubeletVersion, index) => ({
    metadata: { name: `node-${index}` },
    status: { nodeInfo: { kubeletVersion } },
  }));
  return { [NODES]: { items } };
}

const BY_NAME = values({ name: 'b' });
const BY_SIGNER = values({
  signerName: 'example.org/vault',
  labelSelector: { matchLabels: { live: 'true' } },
});
const NEW = nodes('v1.37.2');

const CASES: Readonly<Record<string, readonly [Objects, string, RegExp]>> = {
  'a bundle by name': [
    { ...BY_NAME, [V1]: SERVED, [`${V1}/clustertrustbundles/b`]: bundle(CA) },
    'ok',
    /^connection prod, https:\/\/vault:8200: its CA in ClusterTrustBundle b is valid for another/,
  ],
  'a bundle of the beta': [
    {
      ...BY_NAME,
      [V1]: { resources: [] },
      [BETA]: SERVED,
      [`${BETA}/clustertrustbundles/b`]: bundle(CA),
    },
    'ok',
    /ClusterTrustBundle b is valid/,
  ],
  'an old bundle': [
    { ...BY_NAME, [V1]: SERVED, [`${V1}/clustertrustbundles/b`]: bundle(EXPIRED) },
    'failure',
    /ClusterTrustBundle b has expired/,
  ],
  'no bundle of this name': [
    { ...BY_NAME, [V1]: SERVED },
    'failure',
    /its CA is in ClusterTrustBundle b, which does not exist/,
  ],
  'bundles of a signer': [
    {
      ...BY_SIGNER,
      [V1]: SERVED,
      [`${V1}/clustertrustbundles`]: { items: [bundle(EXPIRED), bundle(CA, { live: 'true' })] },
    },
    'ok',
    /its CA in the ClusterTrustBundles of signer example\.org\/vault is valid/,
  ],
  'no bundle with these labels': [
    { ...BY_SIGNER, [V1]: SERVED, [`${V1}/clustertrustbundles`]: { items: [bundle(CA)] } },
    'failure',
    /signer example\.org\/vault, and none is selected/,
  ],
  'an API server without them': [BY_NAME, 'failure', /which this API server does not have/],
  'no right to read them': [
    { ...BY_NAME, [V1]: 403, [`${V1}/clustertrustbundles/b`]: 403 },
    'unknown',
    /requires the right to get clustertrustbundles\.certificates\.k8s\.io/,
  ],
};

suite('a connection whose CA is in ClusterTrustBundles', () => {
  for (const [name, [objects, status, message]] of Object.entries(CASES)) {
    test(`${name}: ${status}`, async (t) => {
      const { the } = await check(t, { objects: { ...NEW, ...objects } });
      assert.equal(the('connection-prod').status, status);
      assert.match(the('connection-prod').message, message);
    });
  }

  test('the API server is asked only for bundles of the signer', async (t) => {
    const objects = { ...NEW, ...BY_SIGNER, [V1]: SERVED };
    const { requests } = await check(t, { objects });
    const listed = requests.find(({ path }) => path.startsWith(`${V1}/clustertrustbundles?`));
    const query = new URL(listed?.path ?? '', 'http://a').searchParams;
    assert.equal(query.get('fieldSelector'), 'spec.signerName=example.org/vault');
  });

  test('old kubelets, which do not start such pods, are a warning; without the right to list nodes there is no warning', async (t) => {
    const healthy = { ...BY_NAME, [V1]: SERVED, [`${V1}/clustertrustbundles/b`]: bundle(CA) };
    const cases: readonly (readonly [Objects, string, RegExp])[] = [
      [NEW, 'ok', /kubelets of all 1 nodes/],
      [nodes('v1.37.0', 'v1.36.3', 'v1.35.1'), 'warning', /2 of 3 nodes.*node-1 with v1\.36\.3/],
      [{ [NODES]: 403 }, 'unknown', /right to list nodes/],
    ];
    for (const [objects, status, message] of cases) {
      const { the, code } = await check(t, { objects: { ...healthy, ...objects } });
      assert.equal(the('trust-bundle-nodes').status, status);
      assert.match(the('trust-bundle-nodes').message, message);
      assert.equal(code, 0);
    }
  });

  test('nodes are not read without such a connection', async (t) => {
    const { findings, requests } = await check(t);
    assert.ok(!findings.some((finding) => finding.check === 'trust-bundle-nodes'));
    assert.ok(!requests.some(({ path }) => path.startsWith(NODES)));
  });
});
