/** Settings where no pod gets them: both commands say so, and the exit code stays. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inject, podParts, podText, run, type Fields } from './harness.ts';

const SET = { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/secret-app': 'kvv2/app' };
const SPEC = { containers: [{ name: 'web', image: 'web:1' }] };
const PLAIN = { metadata: { labels: { app: 'web' } }, spec: SPEC };
const BOTH = 'vouchsafe.dev/inject, vouchsafe.dev/secret-app are set at';

function workload(apiVersion: string, kind: string, spec: Fields, metadata: Fields = {}): Fields {
  return { apiVersion, kind, metadata: { name: 'web', ...metadata }, spec };
}

const above = { annotations: SET };
const template = { template: PLAIN };
const job = { spec: { template: PLAIN } };

/** Object, and the warning about it. */
const CASES: Readonly<Record<string, readonly [object, string]>> = {
  ...Object.fromEntries(
    [
      ['apps/v1', 'Deployment'],
      ['apps/v1', 'StatefulSet'],
      ['apps/v1', 'DaemonSet'],
      ['apps/v1', 'ReplicaSet'],
      ['batch/v1', 'Job'],
      ['v1', 'ReplicationController'],
      ['argoproj.io/v1alpha1', 'Rollout'],
      ['serving.knative.dev/v1', 'Service'],
      ['serving.knative.dev/v1', 'Configuration'],
      ['apps.openshift.io/v1', 'DeploymentConfig'],
      ['apps.kruise.io/v1alpha1', 'CloneSet'],
    ].map(([apiVersion = '', kind = '']) => [
      `on a ${kind}`,
      [
        workload(apiVersion, kind, { template: { ...PLAIN, spec: SPEC } }, above),
        `${BOTH} metadata.annotations, which is too high: pods get only spec.template.metadata.annotations`,
      ],
    ]),
  ),
  'on a PodTemplate': [
    { apiVersion: 'v1', kind: 'PodTemplate', metadata: above, ...template },
    `${BOTH} metadata.annotations, which is too high: pods get only template.metadata.annotations`,
  ],
  'on a CronJob': [
    workload('batch/v1', 'CronJob', { jobTemplate: job }, above),
    `${BOTH} metadata.annotations, which is too high: pods get only spec.jobTemplate.spec.template.metadata.annotations`,
  ],
  'on the Job of a CronJob': [
    workload('batch/v1', 'CronJob', { jobTemplate: { metadata: above, ...job } }),
    `${BOTH} spec.jobTemplate.metadata.annotations, which is too high: pods get only spec.jobTemplate.spec.template.metadata.annotations`,
  ],
  'on the claims of a StatefulSet': [
    workload('apps/v1', 'StatefulSet', {
      ...template,
      volumeClaimTemplates: [{ metadata: above }],
    }),
    `${BOTH} spec.volumeClaimTemplates[0].metadata.annotations, where it has no effect: pods get only spec.template.metadata.annotations`,
  ],
  'beside the metadata of a template': [
    workload('apps/v1', 'Deployment', { template: { ...PLAIN, ...above } }),
    `${BOTH} spec.template.annotations, where it has no effect: pods get only spec.template.metadata.annotations`,
  ],
  'in the spec of a Pod': [
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec: { ...SPEC, ...above } },
    `${BOTH} spec.annotations, where it has no effect: pods get only metadata.annotations`,
  ],
  'in metadata itself': [
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', ...SET }, spec: SPEC },
    `${BOTH} metadata, where it has no effect: pods get only metadata.annotations`,
  ],
  'as labels of a Deployment': [
    workload('apps/v1', 'Deployment', template, { labels: { 'vouchsafe.dev/inject': 'true' } }),
    'vouchsafe.dev/inject is set at metadata.labels, but settings are annotations: use spec.template.metadata.annotations',
  ],
  'as labels of a pod template': [
    workload('apps/v1', 'Deployment', {
      template: { metadata: { labels: { 'vouchsafe.dev/inject': 'true' } }, spec: SPEC },
    }),
    'vouchsafe.dev/inject is among the labels of the pod: set as annotations to take effect',
  ],
  'as labels of a Pod': [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', labels: { 'vouchsafe.dev/inject': 'true' } },
      spec: SPEC,
    },
    'vouchsafe.dev/inject is among the labels of the pod: set as annotations to take effect',
  ],
  'on an object within an OpenShift Template': [
    {
      apiVersion: 'template.openshift.io/v1',
      kind: 'Template',
      metadata: { name: 't' },
      objects: [workload('apps/v1', 'Deployment', template, above)],
    },
    `${BOTH} objects[0].metadata.annotations, which is too high: pods get only objects[0].spec.template.metadata.annotations`,
  ],
  'on a kind without a known template': [
    workload('argoproj.io/v1alpha1', 'Workflow', { entrypoint: 'a' }, above),
    `${BOTH} metadata.annotations: no pod template is known in this kind, so this has no effect unless its controller copies annotations to its pods`,
  ],
  'on a Service': [
    workload('v1', 'Service', { ports: [] }, { annotations: { 'vouchsafe.dev/role': 'x' } }),
    'vouchsafe.dev/role is set at metadata.annotations: no pod template is known in this kind, so this has no effect unless its controller copies annotations to its pods',
  ],
};

suite('settings where no pod gets them', () => {
  for (const [name, [object, warning]] of Object.entries(CASES)) {
    test(name, async () => {
      const text = JSON.stringify(object);
      const injected = await inject(text);
      assert.equal(injected.code, 0);
      const warnings = injected.errors.split('\n').filter((line) => line.startsWith('warning: '));
      assert.deepEqual(
        warnings.map((line) => line.replace(/^warning: \w+\/\w+: /, '')),
        [warning],
      );
      const { code, out } = await run(['explain', '-f', '-'], { '-': text });
      assert.equal(code, 0);
      assert.ok(out.includes(`\nwarnings:\n  ${warning}\n`), out);
    });
  }

  const whole = podParts() as { readonly metadata: { readonly annotations: Fields } };
  const right: Readonly<Record<string, string>> = {
    'kustomize sets them on every object': [
      workload('apps/v1', 'Deployment', { template: podParts() }, whole.metadata),
      workload('v1', 'ConfigMap', {}, whole.metadata),
    ]
      .map((one) => JSON.stringify(one))
      .join('\n---\n'),
    'a Namespace has settings and the label that selects it': [
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: {
          name: 'default',
          annotations: { 'vouchsafe.dev/role': 'web' },
          labels: { 'vouchsafe.dev/inject': 'true' },
        },
      }),
      podText(),
    ].join('\n---\n'),
    'selectors have labels of Namespaces': [
      JSON.stringify({
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: 'n' },
        spec: { podSelector: { matchLabels: { 'vouchsafe.dev/inject': 'true' } } },
      }),
      podText(),
    ].join('\n---\n'),
    'a controller may copy deeper metadata': [
      JSON.stringify(
        workload('monitoring.coreos.com/v1', 'Prometheus', { podMetadata: { annotations: SET } }),
      ),
      podText(),
    ].join('\n---\n'),
    'Argo Rollouts copies them to the pods of one side': JSON.stringify(
      workload('argoproj.io/v1alpha1', 'Rollout', {
        template: podParts(),
        strategy: { canary: { canaryMetadata: { annotations: { 'vouchsafe.dev/role': 'x' } } } },
      }),
    ),
    'another prefix is not ours': podText(
      {},
      { annotations: { 'vouchsafe.dev.example/role': 'x' } },
    ),
    'a label beside the annotation': JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      ...podParts(),
      metadata: { ...whole.metadata, labels: { 'vouchsafe.dev/inject': 'true' } },
    }),
  };
  for (const [name, text] of Object.entries(right)) {
    test(`no warning: ${name}`, async () => {
      const { code, errors } = await inject(text);
      assert.equal(code, 0);
      assert.doesNotMatch(errors, /warning/);
    });
  }

  test('another value than that of the template is a warning', async () => {
    const metadata = { annotations: { 'vouchsafe.dev/secret-app': 'kvv2/other' } };
    const object = workload('apps/v1', 'Deployment', { template: podParts() }, metadata);
    const { errors } = await inject(JSON.stringify(object));
    assert.match(
      errors,
      /^warning: Deployment\/web: vouchsafe\.dev\/secret-app is set at metadata/,
    );
  });

  test('the prefix of the installation is what is looked for', async () => {
    const object = workload('apps/v1', 'Deployment', template, {
      annotations: { 'acme.example/inject': 'true', 'vouchsafe.dev/inject': 'true' },
    });
    const { errors } = await run(['inject', '-f', '-', '--values', 'v'], {
      '-': JSON.stringify(object),
      v: 'annotationPrefix: acme.example',
    });
    assert.match(errors, /^warning: Deployment\/web: acme\.example\/inject is set/);
    assert.doesNotMatch(errors, /vouchsafe\.dev/);
  });

  test('the number of names and their length are limited', async () => {
    const annotations = Object.fromEntries(
      Array.from({ length: 3000 }, (_, at) => [`vouchsafe.dev/${'x'.repeat(500)}${at}`, 'x']),
    );
    const object = workload('apps/v1', 'Deployment', template, { annotations });
    const { errors } = await inject(JSON.stringify(object));
    assert.match(errors, /, 2995 more are set at metadata\.annotations/);
    assert.ok(errors.length < 1500);
  });

  test('dev and render --pod warn, too, and render still reports the denial', async () => {
    const object = workload('apps/v1', 'Deployment', template, above);
    const { code, errors } = await run(['render', '--pod', '-'], { '-': JSON.stringify(object) });
    assert.equal(code, 18);
    assert.match(errors, /^warning: Deployment\/web: .* which is too high/);
    const workflow = workload('argoproj.io/v1alpha1', 'Workflow', {}, above);
    const dev = await run(['dev', '-f', '-'], { '-': JSON.stringify(workflow) });
    assert.equal(dev.code, 10);
    assert.match(dev.errors, /^warning: Workflow\/web: /);
  });
});
