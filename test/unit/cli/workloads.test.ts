/** Workloads beyond those of Kubernetes: each command finds their pods. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { document, inject, podParts, run, type Fields } from './harness.ts';

const PLAIN = { metadata: {}, spec: { containers: [{ name: 'other', image: 'other:1' }] } };
const POD = podParts();

/** A manifest, and the owner of its pod in messages. */
const FOREIGN: Readonly<Record<string, readonly [object, string]>> = {
  'OpenKruise CloneSet': [
    { apiVersion: 'apps.kruise.io/v1alpha1', kind: 'CloneSet', spec: { template: POD } },
    'CloneSet/web',
  ],
  'OpenKruise StatefulSet, which is not that of Kubernetes': [
    { apiVersion: 'apps.kruise.io/v1beta1', kind: 'StatefulSet', spec: { template: POD } },
    'StatefulSet/web',
  ],
  'OpenKruise AdvancedCronJob': [
    {
      apiVersion: 'apps.kruise.io/v1alpha1',
      kind: 'AdvancedCronJob',
      spec: { template: { jobTemplate: { spec: { template: POD } } } },
    },
    'AdvancedCronJob/web',
  ],
  'Volcano Job, which is not that of Kubernetes': [
    { apiVersion: 'batch.volcano.sh/v1alpha1', kind: 'Job', spec: { tasks: [{ template: POD }] } },
    'Job/web',
  ],
  'KEDA ScaledJob': [
    {
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledJob',
      spec: { jobTargetRef: { template: POD } },
    },
    'ScaledJob/web',
  ],
  JobSet: [
    {
      apiVersion: 'jobset.x-k8s.io/v1alpha2',
      kind: 'JobSet',
      spec: { replicatedJobs: [{ name: 'a', template: { spec: { template: POD } } }] },
    },
    'JobSet/web',
  ],
  'Agones Fleet': [
    { apiVersion: 'agones.dev/v1', kind: 'Fleet', spec: { template: { spec: { template: POD } } } },
    'Fleet/web',
  ],
  Elasticsearch: [
    {
      apiVersion: 'elasticsearch.k8s.elastic.co/v1',
      kind: 'Elasticsearch',
      spec: { nodeSets: [{ name: 'a', podTemplate: POD }] },
    },
    'Elasticsearch/web',
  ],
  LeaderWorkerSet: [
    {
      apiVersion: 'leaderworkerset.x-k8s.io/v1',
      kind: 'LeaderWorkerSet',
      spec: { leaderWorkerTemplate: { workerTemplate: POD } },
    },
    'LeaderWorkerSet/web',
  ],
  'any kind with spec.workload.template': [
    { apiVersion: 'example.org/v1', kind: 'App', spec: { workload: { template: POD } } },
    'App/web',
  ],
  'several templates, named by their path': [
    {
      apiVersion: 'ray.io/v1',
      kind: 'RayCluster',
      spec: {
        headGroupSpec: { template: POD },
        workerGroupSpecs: [{ template: { spec: {} } }, { podTemplate: POD }],
      },
    },
    'RayCluster/web (spec.headGroupSpec.template)',
  ],
  'an OpenShift Template': [
    {
      apiVersion: 'template.openshift.io/v1',
      kind: 'Template',
      objects: [
        { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' } },
        {
          apiVersion: 'apps.openshift.io/v1',
          kind: 'DeploymentConfig',
          metadata: { name: 'inner' },
          spec: { replicas: '${{REPLICAS}}', template: POD },
        },
      ],
    },
    'DeploymentConfig/inner',
  ],
  'a Pod within another object': [
    {
      apiVersion: 'work.open-cluster-management.io/v1',
      kind: 'ManifestWork',
      spec: { workload: { manifests: [{ apiVersion: 'v1', kind: 'Pod', ...POD }] } },
    },
    'Pod/web',
  ],
  'no apiVersion': [{ kind: 'Rollout', spec: { template: POD } }, 'Rollout/web'],
};

suite('workloads of others', () => {
  for (const [name, [parts, owner]] of Object.entries(FOREIGN)) {
    const object = { metadata: { name: 'web' }, ...parts };
    test(`${name}: injected, and injected once`, async () => {
      const first = await inject(JSON.stringify(object));
      assert.equal(first.code, 0);
      const lines = first.errors.trimEnd().split('\n');
      assert.equal(lines[0], `${owner}: injected (requested)`);
      assert.match(first.out, /name: vouchsafe-agent/);
      const second = await inject(first.out);
      assert.equal(second.out, first.out);
      assert.match(second.errors, /: skipped \(already_injected\)\n/);
      const explained = await run(['explain', '-f', '-'], { '-': JSON.stringify(object) });
      assert.ok(explained.out.startsWith(`${owner} in namespace default: injected (requested)\n`));
    });
  }

  test('each of several templates gets its own agent; one without settings stays as it is', async () => {
    const object = {
      apiVersion: 'kubeflow.org/v1',
      kind: 'PyTorchJob',
      metadata: { name: 'train' },
      spec: {
        pytorchReplicaSpecs: { Master: { template: podParts() }, Worker: { template: PLAIN } },
      },
    };
    const { out, errors } = await inject(JSON.stringify(object));
    assert.equal(
      errors,
      'PyTorchJob/train (spec.pytorchReplicaSpecs.Master.template): injected (requested)\n' +
        'PyTorchJob/train (spec.pytorchReplicaSpecs.Worker.template): skipped (not_requested)\n',
    );
    const { spec } = document(out) as typeof object; // what was put in
    assert.deepEqual(spec.pytorchReplicaSpecs.Worker.template, PLAIN);
    assert.match(JSON.stringify(spec.pytorchReplicaSpecs.Master), /vouchsafe-agent/);
  });

  for (const [name, spec] of Object.entries({
    'a policy that describes pods': {
      rules: [{ pattern: { spec: { containers: [{ image: '*' }] } } }],
    },
    'a template of something else': { template: { spec: { domain: {} } } },
    'a template without containers': { template: { spec: { containers: [] } } },
    'a template with containers that are not objects': {
      template: { spec: { containers: ['a'] } },
    },
    'containers without names, in a kind that is not known': {
      template: { spec: { containers: [{ image: 'a' }] } },
    },
    'a reference to a workload': {
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
    },
  })) {
    test(`not a pod template: ${name}`, async () => {
      const object = { apiVersion: 'example.org/v1', kind: 'Thing', metadata: { name: 'x' }, spec };
      const { code, out, errors } = await inject(JSON.stringify(object));
      assert.deepEqual([code, errors], [0, 'no pod in these manifests\n']);
      assert.deepEqual(document(out), object);
    });
  }

  test('a template with settings, in a kind that is not known, has to be a pod', async () => {
    const template = { ...podParts(), spec: { containers: [{ image: 'web:1' }] } };
    const object = {
      apiVersion: 'a.example/v1',
      kind: 'App',
      metadata: { name: 'a' },
      spec: { template },
    };
    const { code, errors } = await inject(JSON.stringify(object));
    assert.equal(code, 18);
    assert.match(errors, /MALFORMED: App\/a: not a pod: spec\.containers\[0\] has no name/);
  });

  test('render --pod and dev reject manifests without pods', async () => {
    const text = 'apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: x}\n';
    for (const words of [
      ['render', '--pod', '-'],
      ['dev', '-f', '-'],
    ]) {
      const { code, errors } = await run(words, { '-': text });
      assert.equal(code, 10);
      assert.match(errors, /- contains no pod and no workload/);
    }
  });
});

suite('Knative', () => {
  const knative = (kind: string, spec: Fields, annotations: Fields = {}): string =>
    JSON.stringify({
      apiVersion: 'serving.knative.dev/v1',
      kind,
      metadata: { name: 'hello', annotations },
      spec,
    });
  const { metadata } = podParts() as { metadata: { annotations: Fields } }; // as written there
  const template = {
    metadata: { annotations: metadata.annotations },
    spec: { containers: [{ image: 'hello:1' }] },
  };

  for (const kind of ['Service', 'Configuration']) {
    test(`${kind}: its container has the name that Knative chooses`, async () => {
      const first = await inject(knative(kind, { template }));
      assert.equal(first.code, 0);
      assert.match(first.errors, new RegExp(`^${kind}/hello: injected \\(requested\\)$`, 'm'));
      assert.match(first.errors, /^warning: .*apply the original manifest and let the webhook/m);
      assert.match(first.out, /- name: user-container\n +image: hello:1\n/);
      const second = await inject(first.out);
      assert.equal(second.out, first.out);
      assert.equal(second.errors, `${kind}/hello: skipped (already_injected)\n`);
    });
  }

  test('Revision: its own annotations are those of its pods', async () => {
    const { code, out, errors } = await inject(
      knative('Revision', template.spec, metadata.annotations),
    );
    assert.equal(code, 0);
    assert.match(errors, /^Revision\/hello: injected \(requested\)$/m);
    assert.match(out, /^apiVersion: serving\.knative\.dev\/v1\nkind: Revision\n/);
    assert.match(out, /name: vouchsafe-agent/);
  });

  test('several containers get numbers that are not taken; init containers their own name', async () => {
    const spec = {
      initContainers: [{ image: 'init' }],
      containers: [
        { image: 'a' },
        { name: 'user-container-0', image: 'b' },
        { name: '', image: 'c' },
      ],
    };
    const { out } = await inject(knative('Service', { template: { ...template, spec } }));
    for (const name of ['init-container', 'user-container-1', 'user-container-2']) {
      assert.match(out, new RegExp(`- name: ${name}\\n`));
    }
    const explained = await run(['explain', '-f', '-'], {
      '-': knative('Service', { template: { ...template, spec } }),
    });
    assert.match(explained.out, /^ +user-container-1 mounts the files at \/vault\/secrets$/m);
  });

  test('a Service without a template has none', async () => {
    const { code, errors } = await inject(knative('Service', {}));
    assert.equal(code, 18);
    assert.match(errors, /MALFORMED: Service\/hello has no spec\.template/);
  });

  test('what is not injected stays as it is, without names', async () => {
    const plain = knative('Service', { template: { spec: template.spec } });
    const { out, errors } = await inject(plain);
    assert.equal(errors, 'Service/hello: skipped (not_requested)\n');
    assert.deepEqual(document(out), JSON.parse(plain));
  });
});

suite('Argo Rollout with workloadRef', () => {
  const rollout = (annotations: Fields = {}): string =>
    JSON.stringify({
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: 'web', annotations },
      spec: { workloadRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'base' } },
    });
  const deployment = JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'base' },
    spec: { template: podParts() },
  });

  test('the workload that it names is injected', async () => {
    const text = `${rollout()}\n---\n${deployment}`;
    const { code, errors } = await inject(text);
    assert.deepEqual([code, errors], [0, 'Deployment/base: injected (requested)\n']);
    const explained = await run(['explain', '-f', '-'], { '-': text });
    assert.match(
      explained.out,
      /^Rollout\/web in namespace default: not a pod\n {2}The pods are created from the template of Deployment\/base \(spec\.workloadRef\)\.$/m,
    );
  });

  test('a workload elsewhere is reported by both commands', async () => {
    const { code, errors } = await inject(rollout());
    assert.equal(code, 0);
    assert.equal(
      errors,
      'warning: Rollout/web: the pod template is in Deployment/base (spec.workloadRef), which is not in these manifests\nno pod in these manifests\n',
    );
    const { out } = await run(['explain', '-f', '-'], { '-': rollout() });
    assert.match(out, /^no pod in these manifests$/m);
    assert.match(out, /Deployment\/base \(spec\.workloadRef\), which is not in these manifests/);
  });

  test('settings of the Rollout belong on the template of the workload', async () => {
    const { errors } = await inject(
      `${rollout({ 'vouchsafe.dev/role': 'web' })}\n---\n${deployment}`,
    );
    assert.match(
      errors,
      /^warning: Rollout\/web: vouchsafe\.dev\/role is set at metadata\.annotations, which is too high: pods get only the annotations of the pod template of Deployment\/base/m,
    );
  });

  test('a Rollout with neither is not valid', async () => {
    const { code, errors } = await inject(
      'apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web}\nspec: {}\n',
    );
    assert.equal(code, 18);
    assert.match(errors, /MALFORMED: Rollout\/web has no spec\.template/);
  });
});
