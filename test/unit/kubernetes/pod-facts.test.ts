import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchPodFacts } from '../../../src/kubernetes/index.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';

const NAME = { namespace: 'shop', name: 'web', uid: 'u-1' };
const PATH = '/api/v1/namespaces/shop/pods/web';
const never = new AbortController().signal;

function server(
  change: { readonly metadata?: object; readonly spec?: object } = {},
): MemoryKubernetes {
  const api = new MemoryKubernetes();
  api.put(PATH, {
    metadata: {
      ...{ ...NAME, labels: { app: 'web' } },
      ownerReferences: [{ kind: 'ReplicaSet', name: 'web-1', uid: 'o-1', controller: true }],
      ...change.metadata,
    },
    spec: { nodeName: 'node-1', serviceAccountName: 'web', ...change.spec },
  });
  return api;
}

test('a pod is told with what SPIRE selects by', async () => {
  assert.deepEqual(await fetchPodFacts(server().connect().api, NAME, 'node-1', never), {
    ...NAME,
    ...{ serviceAccount: 'web', nodeName: 'node-1', labels: { app: 'web' } },
    owners: [{ kind: 'ReplicaSet', name: 'web-1', uid: 'o-1' }],
  });
});

test('another pod of that name, one on another node, and none are refused', async () => {
  for (const api of [
    server({ metadata: { uid: 'u-2' } }),
    server({ spec: { nodeName: 'node-2' } }),
    new MemoryKubernetes(),
  ]) {
    await assert.rejects(fetchPodFacts(api.connect().api, NAME, 'node-1', never), {
      code: 'ERR_KUBERNETES_API',
    });
  }
});

test('a pod without labels and owners has none', async () => {
  const api = server({ metadata: { labels: undefined, ownerReferences: 'none' } });
  const { labels, owners } = await fetchPodFacts(api.connect().api, NAME, 'node-1', never);
  assert.deepEqual([labels, owners], [{}, []]);
});
