import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPod } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/index.ts';
import { VouchsafeError } from '../../../src/core/index.ts';
import type { AdmissionEvent } from '../../../src/webhook/index.ts';
import { unreadableNamespaceEvent } from '../../../src/webhook/admission-event.ts';
import { MUTATE, reviewBody, startWebhook } from './harness.ts';
import type { TestContext } from 'node:test';

interface Review {
  request: {
    dryRun?: boolean;
    object: { metadata: { name?: string; ownerReferences?: unknown[] } };
  };
}

const CONTROLLER = {
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  name: 'web-1',
  uid: 'u',
  controller: true,
};

async function told(
  t: TestContext,
  annotations: Readonly<Record<string, string>>,
  change: (review: Review) => void = () => undefined,
  options: Parameters<typeof startWebhook>[1] = {},
): Promise<readonly AdmissionEvent[]> {
  const notices: AdmissionEvent[] = [];
  const webhook = await startWebhook(t, {
    recordEvent: (notice) => void notices.push(notice),
    ...options,
  });
  const review = JSON.parse(reviewBody(annotations)) as Review; // the harness's own
  review.request.object.metadata.ownerReferences = [{ kind: 'X', name: 'x' }, CONTROLLER];
  change(review);
  await webhook.send(MUTATE, JSON.stringify(review));
  return notices;
}

test('an injected pod: its controller is told', async (t) => {
  const { controller: _, ...regarding } = CONTROLLER;
  assert.deepEqual(await told(t, {}), [
    {
      namespace: 'shop',
      regarding,
      type: 'Normal',
      reason: 'Injected',
      note: 'The pod requests injection.',
    },
  ]);
});

test('a bare pod is told by its name', async (t) => {
  const [notice] = await told(t, {}, ({ request: { object } }) => {
    delete object.metadata.ownerReferences;
    object.metadata.name = 'web';
  });
  assert.deepEqual(notice?.regarding, { apiVersion: 'v1', kind: 'Pod', name: 'web' });
});

test('a bare pod without a name is told to nobody', async (t) => {
  const none = await told(t, {}, ({ request }) => delete request.object.metadata.ownerReferences);
  assert.deepEqual(none, []);
});

test('a dry run leaves no traces', async (t) => {
  assert.deepEqual(await told(t, {}, ({ request }) => (request.dryRun = true)), []);
});

/** Each is text that only the request has. */
const PLANTED = {
  'vouchsafe.dev/mode': 'planted',
  'vouchsafe.dev/role': 'planted-role',
  'vouchsafe.dev/secret-planted': 'now/planted: call planted',
  'vouchsafe.dev/template-planted': '{{planted x}}',
  'vouchsafe.dev/format-planted-2': 'planted',
  'vouchsafe.dev/containers': 'planted-container',
  'vouchsafe.dev/env-PLANTED': 'planted',
  'vouchsafe.dev/planted': 'planted',
};

test('a denied pod: which settings is told in words of our own, and no text of the request', async (t) => {
  const [notice] = await told(t, PLANTED, ({ request: { object } }) => {
    Object.assign(object, {
      spec: { containers: [{ name: 'planted', env: [] }, { name: 'vouchsafe-agent' }] },
    });
  });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'Denied']);
  assert.equal(
    notice?.note,
    'Settings are not valid, or contradict each other or the pod. 5 problems, of containers, format-*, mode, ' +
      'other annotations, the pod itself. The answer to whoever created the pod says more, and so does ' +
      '`vouchsafe explain`.',
  );
  assert.doesNotMatch(JSON.stringify(notice), /planted/i);
});

test('a pod that policy refuses: which settings and policies is told, no text of the request', async (t) => {
  const policies = [{ name: 'team-a', namespaces: ['shop'], roles: ['r-1'], paths: ['kvv2/x'] }];
  const installation = parseInstallation({ vault: { policies } });
  const asked = {
    'vouchsafe.dev/role': 'hunter2',
    'vouchsafe.dev/secret-app': 'kvv2/now/SECURITY INCIDENT call 555',
  };
  const [notice] = await told(t, asked, undefined, { installation });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'PolicyRefused']);
  assert.match(notice?.note ?? '', /2 problems, of role, secret-\*, by policy team-a\./);
  assert.doesNotMatch(notice?.note ?? '', /hunter2|INCIDENT|kvv2|r-1/);
});

test('a pod that was forgotten is told, one that asks for nothing is not', async (t) => {
  const off = { 'vouchsafe.dev/inject': 'false' };
  assert.deepEqual(await told(t, off), []);
  const nothing = await told(
    t,
    {},
    ({ request: { object } }) => Object.assign(object.metadata, { annotations: {} }),
    { namespaces: () => Promise.resolve({ 'vouchsafe.dev/inject': 'true' }) },
  );
  assert.deepEqual(
    nothing.map(({ reason }) => reason),
    ['NotInjected'],
  );
});

test('a setting of the namespace that is wrong is told by its name', async (t) => {
  const namespaces = (): Promise<Record<string, string>> =>
    Promise.resolve({ 'vouchsafe.dev/mode': 'planted' });
  const [notice] = await told(t, {}, undefined, { namespaces });
  assert.match(notice?.note ?? '', /1 problem, of mode\./);
  assert.doesNotMatch(notice?.note ?? '', /planted/);
});

const WRONG = { 'vouchsafe.dev/mode': 'wrong' };

test('in a namespace that is excluded, or that nobody knows, nothing is told', async (t) => {
  const installation = parseInstallation({ webhook: { excludedNamespaces: ['shop'] } });
  for (const annotations of [{}, WRONG]) {
    assert.deepEqual(await told(t, annotations, undefined, { installation }), []);
    for (const namespace of ['kube-system', 'made-up', '', 'a/../b']) {
      const elsewhere = ({ request }: Review): void => void Object.assign(request, { namespace });
      assert.deepEqual(await told(t, annotations, elsewhere), [], namespace);
    }
    assert.deepEqual(await told(t, annotations, undefined, { isKnownNamespace: undefined }), []);
  }
});

const ODD: Readonly<Record<string, object>> = {
  'a kind that is a sentence': { kind: 'Call 555' },
  'a name that is a sentence': { name: 'run kubectl delete' },
  'a name in capitals': { name: 'INCIDENT' },
  'an API that is a sentence': { apiVersion: 'see https://evil.example' },
  'an API that is no text': { apiVersion: 7 },
  'a UID that is a sentence': { uid: 'call 555' },
  'a UID that is no text': { uid: {} },
};

for (const [name, change] of Object.entries(ODD)) {
  test(`an owner with ${name} is told nothing`, async (t) => {
    const none = await told(t, WRONG, ({ request: { object } }) => {
      object.metadata.ownerReferences = [{ ...CONTROLLER, ...change }];
    });
    assert.deepEqual(none, []);
  });
}

test('a namespace that cannot be read is told', async (t) => {
  const namespaces = (): Promise<never> =>
    Promise.reject(new VouchsafeError('ERR_KUBERNETES_API', 'HTTP 403'));
  const [notice] = await told(t, {}, undefined, { namespaces });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'Denied']);
  const odd = { ownerReferences: [{ controller: true }] };
  const pod = readPod({ metadata: odd, spec: { containers: [{ name: 'a' }] } });
  assert.equal(unreadableNamespaceEvent(pod, 'shop'), undefined);
});
