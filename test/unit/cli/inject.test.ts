import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { applyJsonPatch } from '../../../src/admission/index.ts';
import { document, inject, podParts, podText, run, type Fields, type Outcome } from './harness.ts';

suite('inject', () => {
  test('a denied pod prints nothing that could be applied, and every reason', async () => {
    const { code, out, errors } = await inject(
      podText({
        'vouchsafe.dev/mode': 'csi',
        'vouchsafe.dev/env-PASSWORD': 'kvv2/app#password',
        'vouchsafe.dev/refresh': 'often',
        'vouchsafe.dev/template-app': '{{nothing "x"}}',
        'vouchsafe.dev/format-app': 'json',
      }),
    );
    assert.deepEqual([code, out], [18, '']);
    assert.match(errors, /^vouchsafe: ERR_ADMISSION_DENIED: Pod\/web: /);
    for (const reason of [
      /mode: this installation has no CSI driver/,
      /env-PASSWORD: conflicts with vouchsafe\.dev\/mode csi/,
      /refresh: must be a duration/,
      /template-app: app:1:3: unknown helper nothing/,
      /template-app: conflicts with vouchsafe\.dev\/format-app|format-app: conflicts with vouchsafe\.dev\/template-app/,
    ]) {
      assert.match(errors, reason);
    }
  });

  test('warnings and decisions go to standard error', async () => {
    const { code, errors } = await inject(podText({ 'vouchsafe.dev/refesh': '1m' }));
    assert.equal(code, 0);
    assert.equal(
      errors,
      'warning: Pod/web: unknown annotation vouchsafe.dev/refesh; did you mean vouchsafe.dev/refresh?\nPod/web: injected (requested)\n',
    );
  });

  test('a Namespace in the same manifest gives defaults', async () => {
    const annotations = { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/mode': 'pair' };
    const namespace = { kind: 'Namespace', metadata: { name: 'team', annotations } };
    const metadata = { name: 'web', annotations: { 'vouchsafe.dev/secret-a': 'kv/a' } };
    const pod = { kind: 'Pod', metadata, spec: { containers: [{ name: 'web' }] } };
    const text = `${JSON.stringify(namespace)}\n---\n${JSON.stringify(pod)}`;
    const inTeam = await inject(text, '--namespace', 'team');
    assert.match(inTeam.out, /name: vouchsafe-init/);
    const elsewhere = await inject(text);
    assert.doesNotMatch(elsewhere.out, /vouchsafe-init/);
  });

  test('the values of an installation count: prefix, connections, defaults', async () => {
    const values = `
annotationPrefix: acme.example
defaults: {role: team, vault: east}
vault: {connections: {east: {address: "https://east.example:8200"}, west: {address: "https://west.example"}}, default: west}
`;
    const text = podText().replaceAll('vouchsafe.dev/', 'acme.example/');
    const { code, out } = await run(['inject', '-f', 'pod.json', '--values', 'values.yaml'], {
      'pod.json': text,
      'values.yaml': values,
    });
    assert.equal(code, 0);
    assert.match(out, /"address":"https:\/\/east\.example:8200"/);
    assert.match(out, /"role":"team"/);
    const other = await run(['inject', '-f', '-', '--values', 'values.yaml'], {
      '-': podText(),
      'values.yaml': values,
    });
    assert.match(other.errors, /skipped \(not_requested\)/);
  });

  test('wrong values list every problem; unreadable ones name the file', async () => {
    const values = { defaults: { rol: 'x', mode: 'bad' }, vault: { connections: { a: {} } } };
    const wrong = await run(['inject', '-f', '-', '--values', 'v'], {
      '-': podText(),
      v: JSON.stringify(values),
    });
    assert.equal(wrong.code, 10);
    assert.match(wrong.errors, /defaults\.rol: is not known; did you mean "role"\?/);
    assert.match(wrong.errors, /defaults\.mode: must be one of native, pair, init, csi/);
    assert.match(wrong.errors, /vault\.connections\.a\.address: is missing/);
    const broken = await run(['inject', '-f', '-', '--values', 'v'], { '-': podText(), v: 'a: [' });
    assert.equal(broken.code, 10);
    assert.match(broken.errors, /ERR_CONFIG_UNREADABLE: v: not valid JSON or YAML/);
  });

  for (const [version, container] of [
    ['1.28', 'vouchsafe-init'],
    ['v1.28.3+k3s1', 'vouchsafe-init'],
    ['1.29', 'vouchsafe-agent'],
    ['v1.34.2', 'vouchsafe-agent'],
  ] as const) {
    test(`Kubernetes ${version} gets ${container} first`, async () => {
      const { out } = await inject(podText(), '--kube-version', version);
      const { spec } = document(out) as { spec: { initContainers: { name: string }[] } }; // injected
      assert.deepEqual(
        spec.initContainers.map(({ name }) => name),
        [container],
      );
    });
  }

  for (const version of ['garbage', '', '1', '-1.30']) {
    test(`"${version}" is not a version of Kubernetes`, async () => {
      const { code, errors } = await inject(podText(), `--kube-version=${version}`);
      assert.equal(code, 2);
      assert.match(errors, /must be a version such as 1\.34/);
    });
  }
});

suite('inject --review', () => {
  const object = JSON.parse(podText()) as Fields; // an object
  const request = (more: Fields = {}, top: Fields = {}): string =>
    JSON.stringify({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request: {
        uid: 'u-1',
        kind: { group: '', version: 'v1', kind: 'Pod' },
        resource: { group: '', version: 'v1', resource: 'pods' },
        namespace: 'default',
        operation: 'CREATE',
        object,
        ...more,
      },
      ...top,
    });
  const review = (text: string, ...words: readonly string[]): Promise<Outcome> =>
    run(['inject', '--review', ...words], { '-': text, values: 'webhook: {maxBodyBytes: 65536}' });
  interface Answer {
    readonly response: {
      readonly uid: string;
      readonly allowed: boolean;
      readonly patch?: string;
      readonly status?: { readonly message: string };
    };
  }
  const answerOf = ({ out }: Outcome): Answer => JSON.parse(out) as Answer; // printed by us

  test('the patch makes what `inject` prints', async () => {
    for (const one of [object, { ...object, ...podParts({}, { volumes: null }) }]) {
      const { response } = answerOf(await review(request({ object: one })));
      const operations: unknown = JSON.parse(
        Buffer.from(response.patch ?? '', 'base64').toString(),
      );
      const { out } = await inject(JSON.stringify(one));
      assert.deepEqual(applyJsonPatch(one, operations), document(out));
    }
  });

  test('equal requests give equal bytes; so does a dry run', async () => {
    const [first, second, dry] = await Promise.all(
      [{}, {}, { dryRun: true }].map((more) => review(request(more))),
    );
    assert.equal(first?.out, second?.out);
    assert.equal(first?.out, dry?.out);
  });

  test('a denial is an answer', async () => {
    const denied = await review(
      request({ object: JSON.parse(podText({ 'vouchsafe.dev/mode': 'csi' })) as Fields }),
    );
    assert.equal(denied.code, 0);
    const { response } = answerOf(denied);
    assert.equal(response.allowed, false);
    assert.match(response.status?.message ?? '', /mode: this installation has no CSI driver/);
  });

  test('what is not the creation of a pod is allowed as it is', async () => {
    const deployments = { group: 'apps', version: 'v1', resource: 'deployments' };
    for (const more of [
      { operation: 'UPDATE' },
      { operation: 'DELETE', object: null },
      { resource: deployments },
      { operation: 'CREATE', subResource: 'eviction' },
    ]) {
      const { response } = answerOf(await review(request(more)));
      assert.deepEqual(response, { uid: 'u-1', allowed: true });
    }
  });

  test('a review written by hand may name the kind alone', async () => {
    const { response } = answerOf(await review(request({ resource: undefined })));
    assert.notEqual(response.patch, undefined);
  });

  const refusals: readonly (readonly [string, string, RegExp])[] = [
    ['not JSON', 'hello', /ERR_ADMISSION_MALFORMED: the AdmissionReview is not JSON/],
    ['a list', '[]', /ERR_ADMISSION_MALFORMED/],
    [
      'another version',
      request({}, { apiVersion: 'admission.k8s.io/v1beta1' }),
      /is not admission\.k8s\.io\/v1/,
    ],
    ['no uid', request({ uid: undefined }), /it has no uid/],
    ['no request', '{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', /MALFORMED/],
    ['no pod', request({ object: { metadata: {} } }), /not a pod: spec/],
    ['deep nesting', `{"kind":${'['.repeat(5000)}${']'.repeat(5000)}}`, /nested deeper than 64/],
  ];
  for (const [name, text, message] of refusals) {
    test(`rejected: ${name}`, async () => {
      const { code, out, errors } = await review(text);
      assert.deepEqual([code, out], [18, '']);
      assert.match(errors, message);
    });
  }

  test('rejected: more than the limit of the installation', async () => {
    const { code, errors } = await review(
      request({ extra: 'x'.repeat(70_000) }),
      '--values',
      'values',
    );
    assert.equal(code, 18);
    assert.match(errors, /ERR_ADMISSION_TOO_LARGE: the request is larger than 65536 bytes/);
  });
});
