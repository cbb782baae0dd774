import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPod } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/index.ts';
import { VouchsafeError } from '../../../src/core/index.ts';
import type { Notice } from '../../../src/server/index.ts';
import { namespaceNotice } from '../../../src/server/tell.ts';
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
): Promise<readonly Notice[]> {
  const notices: Notice[] = [];
  const webhook = await startWebhook(t, {
    tell: (notice) => void notices.push(notice),
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
      note: 'The pod asks for the agent.',
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

test('a denied pod: the places are told, not what stands there', async (t) => {
  const annotations = {
    'vouchsafe.dev/mode': 'hunter2',
    'vouchsafe.dev/template-app': '{{hunter2 x}}',
  };
  const [notice] = await told(t, annotations);
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'Denied']);
  assert.match(notice?.note ?? '', /See vouchsafe\.dev\/mode/);
  assert.doesNotMatch(notice?.note ?? '', /hunter2/);
});

test('a pod that policy refuses: the policy and what it allows are told', async (t) => {
  const policies = [{ name: 'team-a', namespaces: ['shop'], roles: ['a', 'b'] }];
  const installation = parseInstallation({ vault: { policies } });
  const role = { 'vouchsafe.dev/role': 'hunter2' };
  const [notice] = await told(t, role, undefined, { installation });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'PolicyRefused']);
  assert.match(notice?.note ?? '', /vouchsafe\.dev\/role: policy "team-a" allows roles a, b/);
  assert.doesNotMatch(notice?.note ?? '', /hunter2/);
});

test('a pod that was forgotten is told, one that asks for nothing is not', async (t) => {
  const off = { 'vouchsafe.dev/inject': 'false' };
  assert.deepEqual(await told(t, off), []);
  const excluded = parseInstallation({ webhook: { excludedNamespaces: ['shop'] } });
  const [notice] = await told(t, {}, undefined, { installation: excluded });
  assert.equal(notice?.reason, 'NotInjected');
});

test('a namespace that cannot be read is told', async (t) => {
  const namespaces = (): Promise<never> =>
    Promise.reject(new VouchsafeError('ERR_KUBERNETES_API', 'HTTP 403'));
  const [notice] = await told(t, {}, undefined, { namespaces });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'Denied']);
  const odd = { ownerReferences: [{ controller: true }] };
  const pod = readPod({ metadata: odd, spec: { containers: [{ name: 'a' }] } });
  assert.equal(namespaceNotice(pod, 'shop'), undefined);
});
