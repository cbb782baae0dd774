import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Fields } from '../cli/harness.ts';
import { AT, check, pod, type Objects } from './harness.ts';

const STORAGE = '/apis/storage.k8s.io/v1';
const DAEMON_SET = '/apis/apps/v1/namespaces/vouchsafe/daemonsets/vouchsafe-csi';
const DRIVER = `${STORAGE}/csidrivers/csi.vouchsafe.dev`;
const NODES = `${STORAGE}/csinodes`;

const SPEC = {
  podInfoOnMount: true,
  requiresRepublish: true,
  attachRequired: false,
  volumeLifecycleModes: ['Ephemeral'],
  tokenRequests: [{ audience: 'vault' }],
};

const on = (ready: number, wanted = 3, there = wanted): Fields => ({
  status: {
    desiredNumberScheduled: wanted,
    currentNumberScheduled: there,
    numberReady: ready,
  },
});

const node = (name: string, ...drivers: readonly string[]): Fields => ({
  metadata: { name },
  spec: { drivers: drivers.map((driver) => ({ name: driver })) },
});

const WELL: Objects = {
  [AT.values]: { metadata: {}, data: { 'values.yaml': '{ csi: { enabled: true } }' } },
  [DAEMON_SET]: on(3),
  [DRIVER]: { metadata: {}, spec: SPEC },
  [NODES]: { items: [node('a', 'csi.vouchsafe.dev', 'other'), node('b', 'other')] },
};

test('an installation without the driver skips its checks', async (t) => {
  const { findings, requests } = await check(t);
  assert.ok(!findings.some(({ group }) => group === 'csi'));
  assert.ok(!requests.some(({ path }) => path === DAEMON_SET));
});

test('a healthy driver: every check is ok', async (t) => {
  const { code, findings, the, text } = await check(t, { objects: WELL });
  assert.equal(code, 0);
  const ofDriver = findings.filter(({ group }) => group === 'csi');
  assert.deepEqual(
    ofDriver.map(({ check: name, status }) => [name, status]),
    [
      ['daemonset', 'ok'],
      ['csi-driver', 'ok'],
      ['csi-nodes', 'ok'],
    ],
  );
  assert.match(the('csi-driver').message, /with tokens for "vault"$/);
  assert.match(the('csi-nodes').message, /the kubelets of 1 of 2 nodes$/);
  assert.match(await text(), /\n\nCSI driver\n {2}ok /);
});

suite('a driver with problems', () => {
  const spec = (changes: Fields): Objects => ({ [DRIVER]: { spec: { ...SPEC, ...changes } } });
  const cases: readonly (readonly [string, Objects, string, string, RegExp, RegExp?])[] = [
    [
      'no DaemonSet',
      { [DAEMON_SET]: 404 },
      'daemonset',
      'failure',
      /^DaemonSet vouchsafe-csi .* does not exist/,
    ],
    [
      'on no node',
      { [DAEMON_SET]: on(0, 0) },
      'daemonset',
      'failure',
      /no node is selected/,
      /nodeSelector/,
    ],
    [
      'refused by its namespace',
      { [DAEMON_SET]: on(0, 3, 0) },
      'daemonset',
      'failure',
      /ready on 0 of 3 nodes/,
      /privileged/,
    ],
    ['ready nowhere', { [DAEMON_SET]: on(0) }, 'daemonset', 'failure', /0 of 3/, / logs daemonset/],
    ['not ready everywhere', { [DAEMON_SET]: on(2) }, 'daemonset', 'warning', /2 of 3 nodes/],
    [
      'no CSIDriver',
      { [DRIVER]: 404 },
      'csi-driver',
      'failure',
      /^CSIDriver csi\.vouchsafe\.dev does not exist/,
    ],
    [
      'without the pods',
      spec({ podInfoOnMount: false }),
      'csi-driver',
      'failure',
      /podInfoOnMount must be true$/,
    ],
    [
      'for lasting volumes',
      spec({ volumeLifecycleModes: undefined }),
      'csi-driver',
      'failure',
      /volumeLifecycleModes must include Ephemeral/,
    ],
    [
      'without the tokens',
      spec({ tokenRequests: [{ audience: 'other' }] }),
      'csi-driver',
      'failure',
      /does not request tokens for "vault" of csi\.tokenAudiences/,
      /upgrade the release/,
    ],
    [
      'unknown to the kubelets',
      { [NODES]: { items: [node('a', 'other')] } },
      'csi-nodes',
      'failure',
      /0 of 1 nodes/,
      /kubeletDirectory/,
    ],
    [
      'not to be seen',
      { [NODES]: 403 },
      'csi-nodes',
      'unknown',
      /requires the right to list csinodes\.storage/,
    ],
  ];
  for (const [name, objects, which, status, message, remedy = /^/] of cases) {
    test(`${name}: ${status}`, async (t) => {
      const { the, code } = await check(t, { objects: { ...WELL, ...objects } });
      const finding = the(which);
      assert.equal(finding.status, status);
      assert.match(finding.message, message);
      assert.match(finding.remedy ?? '', remedy);
      assert.equal(code, status === 'failure' ? 22 : 0);
    });
  }
});

suite('pods with a volume of the driver', () => {
  const csi = { driver: 'csi.vouchsafe.dev' };
  const asks = { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/secret-app': 'kvv2/app' };
  const injected = { ...asks, 'vouchsafe.dev/injected': '{}' };
  const withVolume = (name: string, annotations: Fields, more: Fields = {}): Fields =>
    pod(
      { annotations },
      { spec: { nodeName: 'a', containers: [{ name: 'web' }], volumes: [{ name, csi }] }, ...more },
    );
  const waiting = {
    status: {
      phase: 'Pending',
      containerStatuses: [{ name: 'web', state: { waiting: { reason: 'ContainerCreating' } } }],
    },
  };
  const all = (...items: readonly Fields[]): Objects => ({ ...WELL, [AT.pods]: { items } });

  test('that have it are counted without a finding', async (t) => {
    const items = [withVolume('vouchsafe-secrets', injected), withVolume('mine', {})];
    const { the, findings } = await check(t, { objects: all(...items) });
    assert.match(
      the('list').message,
      /^running pods: 2, with the agent: 0, with a volume of the CSI driver: 2$/,
    );
    assert.ok(!findings.some((one) => one.check === 'injected'));
  });

  test('that wait for it are named, injected or not', async (t) => {
    for (const one of [
      withVolume('vouchsafe-secrets', injected, waiting),
      withVolume('mine', {}, waiting),
    ]) {
      const finding = (await check(t, { objects: all(one) })).the('injected');
      assert.equal(finding.status, 'warning');
      assert.match(finding.message, /has been waiting for its volumes for more than 2m/);
      assert.match(finding.remedy ?? '', /^kubectl --namespace shop describe pod web-5d9c-x2$/);
    }
  });

  test('that are young, or wait for something else, cause no finding', async (t) => {
    const young = withVolume('vouchsafe-secrets', injected, waiting);
    const metadata = Object.assign({}, young['metadata'], {
      creationTimestamp: '2026-01-01T00:00:00Z',
    });
    const image = {
      phase: 'Pending',
      containerStatuses: [{ name: 'web', state: { waiting: { reason: 'ImagePullBackOff' } } }],
    };
    const items = [
      { ...young, metadata },
      withVolume('vouchsafe-secrets', injected, { status: image }),
    ];
    const { findings } = await check(t, { objects: all(...items) });
    assert.ok(!findings.some((one) => one.check === 'injected'));
  });

  test('of their own, but without the one that they request', async (t) => {
    const { the } = await check(t, { objects: all(withVolume('mine', asks)) });
    assert.match(the('injected').message, /requests the agent but runs without it/);
  });
});
