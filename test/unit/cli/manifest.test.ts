import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { document, documents, inject, podParts, podText, type Fields } from './harness.ts';

const WORKLOADS: readonly (readonly [string, string, Fields])[] = [
  ['apps/v1', 'Deployment', { spec: { template: podParts() } }],
  ['apps/v1', 'StatefulSet', { spec: { template: podParts() } }],
  ['apps/v1', 'DaemonSet', { spec: { template: podParts() } }],
  ['apps/v1', 'ReplicaSet', { spec: { template: podParts() } }],
  ['v1', 'ReplicationController', { spec: { template: podParts() } }],
  ['batch/v1', 'Job', { spec: { template: podParts() } }],
  ['batch/v1', 'CronJob', { spec: { jobTemplate: { spec: { template: podParts() } } } }],
  ['v1', 'PodTemplate', { template: podParts() }],
  ['argoproj.io/v1alpha1', 'Rollout', { spec: { template: podParts() } }],
  ['apps.openshift.io/v1', 'DeploymentConfig', { spec: { template: podParts() } }],
  ['v1', 'DeploymentConfig', { spec: { template: podParts() } }],
];

const objects = WORKLOADS.map(([apiVersion, kind, parts]) => ({
  apiVersion,
  kind,
  metadata: { name: 'web' },
  ...parts,
}));

suite('kinds of manifests', () => {
  for (const object of objects) {
    test(`${object.apiVersion} ${object.kind}: its pod template is injected, and injected once`, async () => {
      const first = await inject(JSON.stringify(object));
      assert.equal(first.code, 0);
      assert.equal(first.errors, `${object.kind}/web: injected (requested)\n`);
      assert.match(first.out, /name: vouchsafe-agent/);
      assert.doesNotMatch(first.out, /kind: Pod$/m);
      const second = await inject(first.out);
      assert.equal(second.out, first.out);
      assert.equal(second.errors, `${object.kind}/web: skipped (already_injected)\n`);
    });
  }

  test('lists are opened, whether their items name their kind or not', async () => {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    const opened = await inject(JSON.stringify(list));
    assert.equal(documents(opened.out).length, objects.length);
    const pods = { apiVersion: 'v1', kind: 'PodList', items: [podParts()] };
    const { out, errors } = await inject(JSON.stringify(pods));
    assert.equal(errors, 'Pod/web: injected (requested)\n');
    assert.match(out, /^apiVersion: v1\nkind: Pod\n/);
  });

  test('Lists within Lists are opened, and an empty List stays', async () => {
    const inner = { apiVersion: 'apps/v1', kind: 'DeploymentList', items: [objects[0]] };
    const pods = { apiVersion: 'v1', kind: 'PodList', items: [podParts()] };
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [inner, { kind: 'List', items: [pods] }],
    };
    const { errors } = await inject(JSON.stringify(list));
    assert.equal(errors, 'Deployment/web: injected (requested)\nPod/web: injected (requested)\n');
    const empty = { apiVersion: 'v1', kind: 'List', items: [] };
    const { code, out } = await inject(JSON.stringify(empty));
    assert.equal(code, 0);
    assert.deepEqual(document(out), empty);
  });

  test('several documents keep their order; empty ones and comments are left out', async () => {
    const map = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: "1"}\n';
    const { code, out } = await inject(
      `# first\n---\n---\n${podText()}\n---\n# none\n---\n${map}...\n`,
    );
    assert.equal(code, 0);
    const kinds = documents(out).map((one) => (one as Fields)['kind']); // two objects
    assert.deepEqual(kinds, ['Pod', 'ConfigMap']);
  });

  test('a template without metadata, as Jobs have it, is left as it is', async () => {
    const job = { kind: 'Job', spec: { template: { spec: { containers: [{ name: 'job' }] } } } };
    const { code, out, errors } = await inject(JSON.stringify(job));
    assert.equal(code, 0);
    assert.equal(errors, 'Job/unnamed: skipped (not_requested)\n');
    assert.deepEqual(document(out), job);
  });

  test('kinds without pods pass as they are, and a manifest without any pod is reported', async () => {
    const service = { apiVersion: 'v1', kind: 'Service', spec: { ports: [{ port: 80 }] } };
    const { code, out, errors } = await inject(JSON.stringify(service));
    assert.deepEqual([code, errors], [0, 'no pod in these manifests\n']);
    assert.deepEqual(document(out), service);
  });
});

suite('YAML as Kubernetes reads it', () => {
  const pod = (lines: string): string =>
    `kind: Pod\nmetadata: {annotations: {vouchsafe.dev/inject: "true", vouchsafe.dev/secret-a: kv/a}}\nspec:\n  containers: [{name: app}]\n${lines}`;

  test('0440 is octal: a mode stays what it was', async () => {
    const { out } = await inject(
      pod('  volumes: [{name: v, secret: {secretName: s, defaultMode: 0440}}]\n'),
    );
    assert.match(out, /defaultMode: 288\n/);
  });

  test('texts that look like booleans, numbers or null keep their quotes', async () => {
    const words = [
      'yes',
      'no',
      'on',
      'off',
      'n',
      'y',
      'true',
      '0440',
      '1_000',
      '0x1f',
      '1e3',
      '~',
      'null',
    ];
    const list = words.map((word) => `"${word}"`).join(', ');
    const { out } = await inject(pod(`  schedulerName: x\n  args: [${list}]\n`));
    for (const word of words) assert.match(out, new RegExp(`^ +- "${word}"$`, 'm'));
  });

  test('dates and pairs of ports are texts', async () => {
    const { out } = await inject(pod('  args: [2024-01-02T03:04:05Z, 8080:80, 1:30]\n'));
    assert.match(out, /- 2024-01-02T03:04:05Z\n +- 8080:80\n +- 1:30\n/);
  });

  test('anchors and merges are resolved', async () => {
    const { out } = await inject(
      pod('  x-common: &common {limit: 1}\n  one: {<<: *common, more: 2}\n  two: *common\n'),
    );
    const { spec } = document(out) as { spec: Fields }; // a pod has one
    assert.deepEqual(spec['one'], { limit: 1, more: 2 });
    assert.deepEqual(spec['two'], { limit: 1 });
  });

  test('Unicode and long lines come out as they went in', async () => {
    const note = `${'long '.repeat(100)}é ☃ 😀 \u2028`;
    const { out } = await inject(podText({ note }));
    const { metadata } = document(out) as { metadata: { annotations: Fields } }; // a pod has them
    assert.equal(metadata.annotations['note'], note);
  });
});

suite('manifests that cannot be read', () => {
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]']
    .concat(
      Array.from({ length: 6 }, (_, index) => {
        const [before, name] = ['abcdef'.charAt(index), 'bcdefg'.charAt(index)];
        return `${name}: &${name} [${`*${before}, `.repeat(9)}x]`;
      }),
    )
    .join('\n');
  const refusals: readonly (readonly [string, string, RegExp])[] = [
    ['nothing at all', '', /standard input contains no document/],
    ['comments alone', '---\n# nothing\n', /standard input contains no document/],
    ['a scalar', 'hello', /document 1 is not a Kubernetes object/],
    ['broken YAML', 'kind: Pod\n  a: [\n', /document 1 is not valid YAML at line 1, column 7/],
    ['broken JSON', '{"kind": "Pod",', /document 1 is not valid YAML at line 1, column 16/],
    ['a key twice', 'kind: Pod\nkind: Pod\n', /line 2, column 1: DUPLICATE_KEY/],
    ['an unknown alias', 'kind: *nothing\n', /document 1 has too many or unknown aliases/],
    ['aliases without end', bomb, /document 1 has too many or unknown aliases/],
    ['deep nesting', '['.repeat(20_000), /document 1 is not valid YAML/],
    [
      'Lists without end',
      `${'{"kind":"List","items":['.repeat(20)}{}${']}'.repeat(20)}`,
      /contains Lists nested too deeply/,
    ],
  ];
  for (const [name, text, message] of refusals) {
    test(name, async () => {
      const { code, out, errors } = await inject(text);
      assert.deepEqual([code, out], [10, '']);
      assert.match(errors, /^vouchsafe: ERR_CONFIG_UNREADABLE: /);
      assert.match(errors, message);
    });
  }

  test('a workload without a pod template, a pod without containers', async () => {
    const first = await inject('kind: Deployment\nmetadata: {name: web}\nspec: {}\n');
    assert.equal(first.code, 18);
    assert.match(first.errors, /ERR_ADMISSION_MALFORMED: Deployment\/web has no spec\.template/);
    const second = await inject('kind: Pod\nmetadata: {name: web}\nspec: {containers: []}\n');
    assert.equal(second.code, 18);
    assert.match(second.errors, /ERR_ADMISSION_MALFORMED: Pod\/web: not a pod: spec\.containers/);
  });

  test('an annotation without quotes says so', async () => {
    const { code, errors } = await inject(podText({ 'vouchsafe.dev/inject': true }));
    assert.equal(code, 18);
    assert.match(errors, /annotation vouchsafe\.dev\/inject must be a string: quote it/);
  });
});
