/** Workloads with settings that their pods do not get, and the remedies for pods of all kinds. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { blocksOf, readText } from '../docs/documents.ts';
import type { Fields } from '../cli/harness.ts';
import { AT, check, pod, type Objects } from './harness.ts';

const SET = { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/secret-app': 'kvv2/app' };
const TEMPLATE = { metadata: {}, spec: { containers: [{ name: 'web' }] } };

/** A group of the API with one kind and its objects, none of which has a kind of its own. */
function served(groupVersion: string, plural: string, items: readonly Fields[]): Objects {
  const root = `/apis/${groupVersion}`;
  return {
    [root]: { resources: [{ name: plural }, { name: `${plural}/status` }] },
    [`${root}/${plural}`]: { items },
  };
}

function workload(metadata: Fields, spec: Fields = { template: TEMPLATE }): Fields {
  return { metadata: { name: 'web', namespace: 'shop', ...metadata }, spec };
}

suite('workloads whose settings no pod gets', () => {
  const job = { jobTemplate: { spec: { template: TEMPLATE } } };
  const reference = { workloadRef: { kind: 'Deployment', name: 'base' } };
  const kinds: readonly (readonly [string, string, string, Fields?, RegExp?])[] = [
    ['Deployment', 'apps/v1', 'deployments'],
    ['StatefulSet', 'apps/v1', 'statefulsets'],
    ['DaemonSet', 'apps/v1', 'daemonsets'],
    ['Job', 'batch/v1', 'jobs'],
    ['CronJob', 'batch/v1', 'cronjobs', job, /spec\.jobTemplate\.spec\.template\.metadata/],
    ['Rollout', 'argoproj.io/v1alpha1', 'rollouts'],
    ['Rollout', 'argoproj.io/v1alpha1', 'rollouts', reference, /pod template of Deployment\/base/],
    ['Service', 'serving.knative.dev/v1', 'services'],
    ['DeploymentConfig', 'apps.openshift.io/v1', 'deploymentconfigs'],
  ];
  for (const [kind, group, plural, spec, target = /spec\.template\.metadata/] of kinds) {
    test(`${kind}${spec === reference ? ' with workloadRef' : ''}`, async (t) => {
      const objects = served(group, plural, [workload({ annotations: SET }, spec)]);
      const { the, code } = await check(t, { objects });
      const { status, message } = the('misplaced');
      assert.equal(status, 'warning');
      assert.ok(
        message.startsWith(
          `shop: ${kind}/web: vouchsafe.dev/inject, vouchsafe.dev/secret-app are set at metadata.annotations, which is too high: `,
        ),
        message,
      );
      assert.match(message, target);
      assert.equal(code, 0);
    });
  }

  const quiet: Readonly<Record<string, Fields>> = {
    'settings on the template': workload(
      {},
      { template: { ...TEMPLATE, metadata: { annotations: SET } } },
    ),
    'the same settings on both': workload(
      { annotations: SET },
      { template: { ...TEMPLATE, metadata: { annotations: SET } } },
    ),
    'an object that another controller makes': workload({
      annotations: SET,
      ownerReferences: [{ kind: 'Revision', name: 'r', controller: true }],
    }),
    'an object without a template': workload({ annotations: SET }, {}),
    'settings of another prefix': workload({ annotations: { 'acme.example/inject': 'true' } }),
  };
  for (const [name, object] of Object.entries(quiet)) {
    test(`nothing to report: ${name}`, async (t) => {
      const { findings } = await check(t, { objects: served('apps/v1', 'deployments', [object]) });
      assert.deepEqual(
        findings.filter((one) => ['misplaced', 'workloads'].includes(one.check)),
        [],
      );
    });
  }

  test('rights that are missing are one finding, and kinds that do not exist need none', async (t) => {
    const apps = { resources: [{ name: 'deployments' }, { name: 'statefulsets' }] };
    const objects: Objects = {
      [AT.apps]: apps,
      [AT.deployments]: 403,
      '/apis/apps/v1/statefulsets': 403,
      // Argo CD has the group, but not the kind.
      '/apis/argoproj.io/v1alpha1': { resources: [{ name: 'applications' }] },
      '/apis/argoproj.io/v1alpha1/rollouts': 403,
    };
    const { the, code } = await check(t, { objects });
    const { status, message } = the('workloads');
    assert.equal(status, 'unknown');
    assert.match(
      message,
      /requires the right to list deployments\.apps; .*list statefulsets\.apps$/,
    );
    assert.doesNotMatch(message, /rollouts/);
    assert.equal(code, 0);
  });

  test('only those of the namespace that is checked', async (t) => {
    const objects: Objects = {
      [AT.apps]: { resources: [{ name: 'deployments' }] },
      '/apis/apps/v1/namespaces/shop/deployments': { items: [workload({ annotations: SET })] },
      [AT.deployments]: 403,
      '/api/v1/namespaces/shop': { metadata: { name: 'shop', labels: {} } },
      '/api/v1/namespaces/shop/pods': { items: [] },
    };
    const { the } = await check(t, { objects }, ['-n', 'shop']);
    assert.match(the('misplaced').message, /^shop: Deployment\/web: /);
  });

  test('the manual names the kinds that it lists', () => {
    assert.ok(blocksOf('console', readText('docs/reference/cli.md')).length > 0);
    for (const [kind] of kinds)
      assert.match(readText('docs/reference/cli.md'), new RegExp(`${kind}s\\b`));
  });
});

suite('pods with settings among their labels', () => {
  const labels = { 'vouchsafe.dev/inject': 'true' };
  const cases: readonly (readonly [string, Fields, string | undefined, RegExp])[] = [
    ['only there', { annotations: {}, labels }, 'warning', /inject is among the labels of the pod/],
    [
      'with files as annotations',
      { annotations: { 'vouchsafe.dev/secret-app': 'kvv2/app' }, labels },
      'warning',
      /among the labels of the pod.*; the pod requests files or variables, but no injection/,
    ],
    [
      'with the annotation that opts out',
      { annotations: { 'vouchsafe.dev/inject': 'false' }, labels },
      undefined,
      /^/,
    ],
  ];
  for (const [name, metadata, status, message] of cases) {
    test(`${name}: ${status ?? 'nothing'}`, async (t) => {
      const { findings } = await check(t, { objects: { [AT.pods]: { items: [pod(metadata)] } } });
      const found = findings.find((one) => one.check === 'injected');
      assert.equal(found?.status, status);
      assert.match(found?.message ?? '', message);
    });
  }
});

suite('how pods are created again', () => {
  const owned = (kind: string, name: string, labels: Fields): Fields => ({
    labels,
    ownerReferences: [{ kind, name, controller: true }],
  });
  const cases: readonly (readonly [string, Fields, RegExp])[] = [
    [
      'of an Argo Rollout',
      owned('ReplicaSet', 'web-5d9c', { 'rollouts-pod-template-hash': '5d9c' }),
      /^kubectl argo rollouts --namespace shop restart web$/,
    ],
    [
      'of an OpenShift DeploymentConfig',
      owned('ReplicationController', 'web-3', { deploymentconfig: 'web' }),
      /^oc --namespace shop rollout latest dc\/web$/,
    ],
    [
      'of a Knative Revision, whose Deployment is not for people',
      owned('ReplicaSet', 'web-00001-deployment-5d9c', {
        'pod-template-hash': '5d9c',
        'serving.knative.dev/revision': 'web-00001',
      }),
      /^delete the pod/,
    ],
    ['of a ReplicationController', owned('ReplicationController', 'web', {}), /^delete the pod/],
    ['of a ReplicaSet', owned('ReplicaSet', 'web', {}), /^delete the pod/],
  ];
  for (const [name, metadata, remedy] of cases) {
    test(name, async (t) => {
      const { the } = await check(t, { objects: { [AT.pods]: { items: [pod(metadata)] } } });
      assert.match(the('injected').remedy ?? '', remedy);
    });
  }
});
