import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPod } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
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

async function eventsFor(
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

test('an injected pod: the Event is on its controller', async (t) => {
  const { controller: _, ...regarding } = CONTROLLER;
  assert.deepEqual(await eventsFor(t, {}), [
    {
      namespace: 'shop',
      regarding,
      type: 'Normal',
      reason: 'Injected',
      note: 'The pod requests injection.',
    },
  ]);
});

test('a bare pod with a name gets the Event itself', async (t) => {
  const [notice] = await eventsFor(t, {}, ({ request: { object } }) => {
    delete object.metadata.ownerReferences;
    object.metadata.name = 'web';
  });
  assert.deepEqual(notice?.regarding, { apiVersion: 'v1', kind: 'Pod', name: 'web' });
});

test('a bare pod without a name gets no Event', async (t) => {
  const none = await eventsFor(
    t,
    {},
    ({ request }) => delete request.object.metadata.ownerReferences,
  );
  assert.deepEqual(none, []);
});

test('a dry run records no Event', async (t) => {
  assert.deepEqual(await eventsFor(t, {}, ({ request }) => (request.dryRun = true)), []);
});

/** Each text is only in the request. */
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

test('a denied pod: the Event names the settings, and contains no text of the request', async (t) => {
  const [notice] = await eventsFor(t, PLANTED, ({ request: { object } }) => {
    Object.assign(object, {
      spec: { containers: [{ name: 'planted', env: [] }, { name: 'vouchsafe-agent' }] },
    });
  });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'Denied']);
  assert.equal(
    notice?.note,
    'Settings are not valid, or conflict with each other or the pod. 5 problems with containers, format-*, mode, ' +
      'other annotations, the pod itself. The error returned to the client that created ' +
      'the pod has the details; `vouchsafe explain` prints them, too.',
  );
  assert.doesNotMatch(JSON.stringify(notice), /planted/i);
});

test('a pod that a policy denies: the Event names settings and policies, and contains no text of the request', async (t) => {
  const policies = [{ name: 'team-a', namespaces: ['shop'], roles: ['r-1'], paths: ['kvv2/x'] }];
  const installation = parseInstallation({ vault: { policies } });
  const asked = {
    'vouchsafe.dev/role': 'hunter2',
    'vouchsafe.dev/secret-app': 'kvv2/now/SECURITY INCIDENT call 555',
  };
  const [notice] = await eventsFor(t, asked, undefined, { installation });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'PolicyRefused']);
  assert.match(notice?.note ?? '', /2 problems with role, secret-\*, by policy team-a\./);
  assert.doesNotMatch(notice?.note ?? '', /hunter2|INCIDENT|kvv2|r-1/);
});

test('an Event for a pod with nothing to inject, none for a pod that opted out', async (t) => {
  const off = { 'vouchsafe.dev/inject': 'false' };
  assert.deepEqual(await eventsFor(t, off), []);
  const nothing = await eventsFor(
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

test('an invalid setting of the namespace is named', async (t) => {
  const namespaces = (): Promise<Record<string, string>> =>
    Promise.resolve({ 'vouchsafe.dev/mode': 'planted' });
  const [notice] = await eventsFor(t, {}, undefined, { namespaces });
  assert.match(notice?.note ?? '', /1 problem with mode\./);
  assert.doesNotMatch(notice?.note ?? '', /planted/);
});

const WRONG = { 'vouchsafe.dev/mode': 'wrong' };

test('no Event in a namespace that is excluded or not known', async (t) => {
  const installation = parseInstallation({ webhook: { excludedNamespaces: ['shop'] } });
  for (const annotations of [{}, WRONG]) {
    assert.deepEqual(await eventsFor(t, annotations, undefined, { installation }), []);
    for (const namespace of ['kube-system', 'made-up', '', 'a/../b']) {
      const elsewhere = ({ request }: Review): void => void Object.assign(request, { namespace });
      assert.deepEqual(await eventsFor(t, annotations, elsewhere), [], namespace);
    }
    assert.deepEqual(
      await eventsFor(t, annotations, undefined, { isKnownNamespace: undefined }),
      [],
    );
  }
});

const ODD: Readonly<Record<string, object>> = {
  'a kind that is a sentence': { kind: 'Call 555' },
  'a sentence as name': { name: 'run kubectl delete' },
  'a name in upper case': { name: 'INCIDENT' },
  'an API that is a sentence': { apiVersion: 'see https://evil.example' },
  'an API that is no text': { apiVersion: 7 },
  'a UID that is a sentence': { uid: 'call 555' },
  'a UID that is no text': { uid: {} },
};

for (const [name, change] of Object.entries(ODD)) {
  test(`an owner with ${name} gets no Event`, async (t) => {
    const none = await eventsFor(t, WRONG, ({ request: { object } }) => {
      object.metadata.ownerReferences = [{ ...CONTROLLER, ...change }];
    });
    assert.deepEqual(none, []);
  });
}

test('an Event for a namespace that cannot be read', async (t) => {
  const namespaces = (): Promise<never> =>
    Promise.reject(new VouchsafeError('ERR_KUBERNETES_API', 'HTTP 403'));
  const [notice] = await eventsFor(t, {}, undefined, { namespaces });
  assert.deepEqual([notice?.type, notice?.reason], ['Warning', 'Denied']);
  const odd = { ownerReferences: [{ controller: true }] };
  const pod = readPod({ metadata: odd, spec: { containers: [{ name: 'a' }] } });
  assert.equal(unreadableNamespaceEvent(pod, 'shop'), undefined);
});
