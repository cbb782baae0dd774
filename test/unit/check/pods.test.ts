import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Fields } from '../cli/harness.ts';
import { AT, check, injectedPod, pod, registration, type Objects } from './harness.ts';

const ASKS = { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/secret-app': 'kvv2/app' };
const PROTECTED = { 'vouchsafe.dev/secret-app': 'kvv2/app' };
const OLD = { creationTimestamp: '2025-11-01T00:00:00Z' };

/** A namespace `shop` with further fields. */
function shop(metadata: Fields): Objects {
  return { [AT.namespaces]: { items: [{ metadata: { name: 'shop', labels: {}, ...metadata } }] } };
}

function webhook(changes: Fields): Objects {
  return { [AT.webhooks]: { items: [registration(changes)] } };
}

suite('pods that run without the agent', () => {
  const cases: readonly (readonly [string, Fields, Objects, string, RegExp, RegExp?])[] = [
    [
      'older than the webhook configuration',
      pod(OLD),
      {},
      'failure',
      /^shop: ReplicaSet\/web-5d9c: .* created before the webhook was installed$/,
      /^kubectl --namespace shop rollout restart deployment\/web$/,
    ],
    [
      'of a StatefulSet',
      pod({ ...OLD, ownerReferences: [{ kind: 'StatefulSet', name: 'db', controller: true }] }),
      {},
      'failure',
      /StatefulSet\/db/,
      /rollout restart statefulset\/db$/,
    ],
    [
      'without an owner',
      pod({ ...OLD, ownerReferences: undefined }),
      {},
      'failure',
      /^shop: Pod\/web-5d9c-x2: /,
      /^delete the pod/,
    ],
    [
      'younger than the webhook configuration',
      pod(),
      {},
      'failure',
      /no webhook answered/,
      /restart/,
    ],
    [
      'without the label that is selected',
      pod(),
      webhook({ objectSelector: { matchExpressions: [{ key: 'team', operator: 'Exists' }] } }),
      'failure',
      /webhook\.objectSelector/,
    ],
    [
      'in a namespace that is not selected',
      pod(),
      webhook({
        namespaceSelector: { matchExpressions: [{ key: 'v', operator: 'In', values: ['1'] }] },
      }),
      'failure',
      /webhook\.namespaceSelector/,
    ],
    [
      'requested only by the namespace, without its label',
      pod({ annotations: {} }),
      shop({ annotations: { 'vouchsafe.dev/inject': 'true', 'vouchsafe.dev/x509-svid': 'true' } }),
      'failure',
      /only its namespace requests/,
      /^kubectl label namespace shop vouchsafe\.dev\/inject=true$/,
    ],
    [
      'that would be denied',
      pod({ annotations: { ...ASKS, 'vouchsafe.dev/mode': 'csi' } }),
      {},
      'failure',
      /would deny it now: vouchsafe\.dev\/mode: this installation has no CSI driver/,
    ],
    [
      'in an excluded namespace',
      pod({ namespace: 'kube-system' }),
      {},
      'warning',
      /never injected/,
    ],
    ['that forgot to ask', pod({ annotations: PROTECTED }), {}, 'warning', /but no injection/],
    [
      'that opted out',
      pod({ annotations: { ...PROTECTED, 'vouchsafe.dev/inject': 'false' } }),
      {},
      'ok',
      /left alone, because of vouchsafe\.dev\/inject/,
    ],
    ['whose spec is none', { ...pod(), spec: {} }, {}, 'failure', /spec\.containers is empty/],
    [
      'with the annotations of an injected pod, but without the containers',
      pod({ annotations: { ...ASKS, 'vouchsafe.dev/injected': '{}' } }),
      {},
      'failure',
      /runs without it/,
    ],
  ];
  for (const [name, one, more, status, message, remedy = /^/] of cases) {
    test(`${name}: ${status}`, async (t) => {
      const { the, code } = await check(t, { objects: { [AT.pods]: { items: [one] }, ...more } });
      const finding = the('injected');
      assert.equal(finding.status, status);
      assert.match(finding.message, message);
      assert.match(finding.remedy ?? '', remedy);
      assert.equal(code, status === 'failure' ? 22 : 0);
      assert.match(the('list').message, /^running pods: 1, with the agent: 0$/);
    });
  }

  test('without annotations are not mentioned', async (t) => {
    const items = [pod({ annotations: undefined }), pod({ annotations: { other: 'true' } })];
    const { findings } = await check(t, { objects: { [AT.pods]: { items } } });
    assert.deepEqual(
      findings.filter((one) => one.check === 'injected'),
      [],
    );
  });

  test('of one owner are one finding', async (t) => {
    const items = [pod(OLD), pod({ ...OLD, name: 'web-5d9c-x3' }), pod({ ...OLD, namespace: 'b' })];
    const { findings } = await check(t, { objects: { [AT.pods]: { items } } });
    const messages = findings
      .filter((one) => one.check === 'injected')
      .map(({ message }) => message.split(': ', 2).join(': '));
    assert.deepEqual(messages, ['shop: ReplicaSet/web-5d9c, 2 pods', 'b: ReplicaSet/web-5d9c']);
  });

  test('with the annotation prefix of the values', async (t) => {
    const objects = {
      [AT.values]: { data: { 'values.yaml': 'annotationPrefix: secrets.example.org' } },
      [AT.pods]: {
        items: [
          pod(),
          pod({
            name: 'mine',
            annotations: {
              'secrets.example.org/inject': 'true',
              'secrets.example.org/secret-app': 'kvv2/app',
            },
          }),
        ],
      },
    };
    const { findings, requests } = await check(t, { objects });
    assert.equal(findings.filter((one) => one.check === 'injected').length, 1);
    const sent = requests.find(({ method }) => method === 'POST')?.text ?? '';
    assert.match(sent, /"secrets\.example\.org\/inject":"true"/);
  });

  test('of one namespace, and page by page', async (t) => {
    const objects: Objects = {
      '/api/v1/namespaces/shop': { metadata: { name: 'shop', labels: {} } },
      '/api/v1/namespaces/shop/pods': { items: [pod(OLD)] },
      [AT.pods]: 403,
    };
    const { the, requests } = await check(t, { objects }, ['-n', 'shop']);
    assert.equal(the('list').message, 'running pods of namespace shop: 1, with the agent: 0');
    const listed = requests.find(({ path }) => path.startsWith('/api/v1/namespaces/shop/pods?f'));
    assert.match(listed?.path ?? '', /fieldSelector=status\.phase.*&limit=500/);
  });
});

suite('pods with the agent', () => {
  const end = (exitCode: number, message: string): Fields => ({
    terminated: { exitCode, message },
  });
  const cases: readonly (readonly [string, Fields, string | undefined, RegExp])[] = [
    ['ready', { ready: true }, undefined, /^/],
    [
      'ready after a fall',
      { ready: true, lastState: end(12, 'ERR_SPIFFE_DENIED: no identity') },
      undefined,
      /^/,
    ],
    ['not ready for long', { ready: false }, 'warning', /not ready after more than 2m/],
    [
      'that ended',
      { ready: false, state: end(13, 'ERR_VAULT_LOGIN_REFUSED: unknown role') },
      'failure',
      /its agent fails: ERR_VAULT_LOGIN_REFUSED: unknown role/,
    ],
    [
      'that is to be started again',
      {
        ready: false,
        state: { waiting: { reason: 'CrashLoopBackOff' } },
        lastState: end(12, 'ERR_SPIFFE_UNAVAILABLE: no such socket\u001b[2J'),
      },
      'failure',
      /ERR_SPIFFE_UNAVAILABLE: no such socket\\u001b\[2J$/,
    ],
    [
      'whose image is not there',
      { ready: false, state: { waiting: { reason: 'ErrImagePull', message: 'no such image' } } },
      'failure',
      /ErrImagePull no such image/,
    ],
    [
      'that waits for its volumes',
      { ready: false, state: { waiting: { reason: 'PodInitializing' } } },
      'warning',
      /not ready/,
    ],
  ];
  for (const [name, status, expected, message] of cases) {
    test(`${name}: ${expected ?? 'nothing'}`, async (t) => {
      const objects = { [AT.pods]: { items: [injectedPod(status)] } };
      const { findings, the } = await check(t, { objects });
      assert.equal(the('list').message, 'running pods: 1, with the agent: 1');
      const found = findings.find((one) => one.check === 'injected');
      assert.equal(found?.status, expected);
      assert.match(found?.message ?? '', message);
    });
  }
});
