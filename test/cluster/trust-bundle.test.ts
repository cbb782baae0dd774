/**
 * The CA of Vault in ClusterTrustBundles alone, by the kubelet's projection: for agents and for the CSI driver, when
 * a bundle is replaced, and when there is none.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { createTestCa } from '../../src/dev/ca/index.ts';
import { ApiError } from './parts/api.ts';
import { check } from './parts/checking.ts';
import { KUBELET_MS, READ, sees, settings, withSecret } from './parts/csi-pods.ts';
import { theDriver } from './parts/driver.ts';
import { install } from './parts/installing.ts';
import { CHART, POLICIES, RELEASE } from './parts/release.ts';
import { api, containerStatus, eventually, helm, shellPod, Space, world } from './parts/suite.ts';
import { startTlsFront, type TlsFront } from './parts/tls-front.ts';

const GROUP = '/apis/certificates.k8s.io/v1';
const BUNDLES = `${GROUP}/clustertrustbundles`;
const SIGNER = 'example.org/vault';

/** Sources of the CA, by connection. */
const SOURCES = {
  named: { name: 'vouchsafe-test-named' },
  signed: { signerName: SIGNER, labelSelector: { matchLabels: { for: 'vault' } } },
  late: { name: 'vouchsafe-test-late' },
} as const;

type Connection = keyof typeof SOURCES;

/** Whether the API server has them without feature gates: from Kubernetes 1.37 on. */
async function isServed(): Promise<boolean> {
  const { resources } = await api.get<{ resources: readonly { name: string }[] }>(GROUP);
  return resources.some(({ name }) => name === 'clustertrustbundles');
}

const served = await isServed();
const skip = !served && 'this API server has ClusterTrustBundles only behind feature gates';

/** Helm's flags for connections to an address, whose CA is in a bundle. */
function connecting(address: string): readonly string[] {
  const [first, ...others] = POLICIES;
  const connections = [...(first?.connections ?? []), ...Object.keys(SOURCES)];
  return [
    ...Object.entries(SOURCES).map(
      ([name, clusterTrustBundle]) =>
        `--set-json=vault.connections.${name}=${JSON.stringify({ address, clusterTrustBundle })}`,
    ),
    `--set-json=vault.policies=${JSON.stringify([{ ...first, connections }, ...others])}`,
  ];
}

async function createBundle(name: string, spec: object, labels: object = {}): Promise<void> {
  await api.create(BUNDLES, { metadata: { name, labels }, spec });
}

/** Removes a bundle, where it is still there. */
async function removeBundle(name: string): Promise<void> {
  try {
    await api.remove(`${BUNDLES}/${name}`);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
  }
}

/** Annotations of a pod that reads by a connection, with the token of its service account in any mode. */
function asked(space: Space, connection: Connection, mode: string): Record<string, string> {
  return settings(space, { mode, vault: connection, identity: 'service-account' });
}

/** Starts an agent and a volume of a connection; the pods are named after their modes. */
async function createPods(space: Space, connection: Connection): Promise<void> {
  await space.create(shellPod('native', asked(space, connection, 'native'), READ));
  const { identity: _, ...attributes } = asked(space, connection, 'csi');
  await space.create(shellPod('csi', attributes, READ));
}

async function reads(space: Space, value: string): Promise<void> {
  for (const name of ['native', 'csi']) {
    await space.ready(name, KUBELET_MS);
    assert.equal(await space.logs(name, 'app'), `${value}\n`, name);
  }
}

/** Waits until the kubelet says why a volume of the pod cannot be set up. */
async function waitsBecause(space: Space, name: string, why: RegExp): Promise<void> {
  await eventually(
    `the events of ${name} have the reason`,
    async () => {
      const events = await space.events(name);
      return events.some((one) => one.reason === 'FailedMount' && why.test(one.message))
        ? true
        : undefined;
    },
    KUBELET_MS,
  );
  assert.equal((await space.pod(name)).status?.phase, 'Pending');
}

suite('a CA in ClusterTrustBundles', { skip }, () => {
  const stack = new AsyncDisposableStack();
  const [first, second] = [createTestCa(), createTestCa()];
  let front: TlsFront;

  before(async () => {
    front = stack.use(await startTlsFront(world.vault.address, first));
    await createBundle(SOURCES.named.name, { trustBundle: first.caPem });
    stack.defer(() => removeBundle(SOURCES.named.name));
    const signed = { signerName: SIGNER, trustBundle: first.caPem };
    await createBundle('example.org:vault:first', signed, { for: 'vault' });
    stack.defer(() => removeBundle('example.org:vault:first'));
    stack.defer(() => install());
    await install(...connecting(front.address));
  });
  after(() => stack.disposeAsync());

  test('an agent and a volume trust it, by the name of the bundle and by its signer', async () => {
    for (const connection of ['named', 'signed'] as const) {
      await using space = await withSecret();
      await createPods(space, connection);
      await reads(space, 'first');
      assert.equal(await space.logins(), 2);
    }
  });

  test('vouchsafe check finds the bundles, the one that is missing, and kubelets that have them', async () => {
    const { the } = await check(['-n', RELEASE]);
    assert.equal(the('connection-named')?.status, 'ok');
    assert.equal(the('connection-signed')?.status, 'ok');
    assert.match(
      the('connection-late')?.message ?? '',
      /vouchsafe-test-late, which does not exist/,
    );
    assert.equal(the('trust-bundle-nodes')?.status, 'ok');
  });

  test('a bundle that does not exist: the events of the pods say so, and they start when it does', async () => {
    await using space = await withSecret();
    await createPods(space, 'late');
    await waitsBecause(space, 'native', new RegExp(SOURCES.late.name));
    await waitsBecause(space, 'csi', /ERR_CONFIG_UNREADABLE.*late\.crt/);
    assert.equal(await space.logins(), 0);
    await createBundle(SOURCES.late.name, { trustBundle: first.caPem });
    await using _bundle = {
      [Symbol.asyncDispose]: () => removeBundle(SOURCES.late.name),
    };
    await reads(space, 'first');
  });

  test('the bundle is replaced, then deleted: pods that run go on with the newest', async () => {
    await using space = await withSecret();
    await createPods(space, 'named');
    await reads(space, 'first');

    await api.patch(`${BUNDLES}/${SOURCES.named.name}`, { spec: { trustBundle: second.caPem } });
    front.present(second);
    await space.put({ password: 'second' });
    for (const name of ['native', 'csi']) await sees(space, name, 'second', KUBELET_MS);

    await removeBundle(SOURCES.named.name);
    const driver = await theDriver();
    await eventually(
      'the driver has noticed',
      async () => {
        const path = `/api/v1/namespaces/${RELEASE}/pods/${driver.metadata.name ?? ''}/log`;
        const log = await api.text(`${path}?container=driver`);
        return /named\.crt.*CA file cannot be used/.test(log) ? true : undefined;
      },
      KUBELET_MS,
    );
    await space.put({ password: 'third' });
    for (const name of ['native', 'csi']) await sees(space, name, 'third', KUBELET_MS);
    assert.equal(await space.logins(), 2, 'each kept its token');
    const pod = await space.pod('native');
    assert.equal(containerStatus(pod, 'vouchsafe-agent').restartCount, 0);
  });
});

test(
  'without ClusterTrustBundles the chart is not rendered, and says what they require',
  { skip: served && 'this API server has ClusterTrustBundles' },
  async () => {
    const flags = [`--namespace=${RELEASE}`, '--reuse-values', '--dry-run=server'];
    await assert.rejects(
      helm('upgrade', RELEASE, CHART, ...flags, ...connecting('https://vault.example:8200')),
      /requires Kubernetes 1\.37, and this is v1\.3\d/,
    );
  },
);
