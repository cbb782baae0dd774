import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import type { PodFacts } from '../../../src/contracts/index.ts';
import { fetchPodFacts, cachedPodFacts } from '../../../src/kubernetes/index.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';
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
      ...NAME,
      labels: { app: 'web' },
      ownerReferences: [{ kind: 'ReplicaSet', name: 'web-1', uid: 'o-1', controller: true }],
      ...change.metadata,
    },
    spec: { nodeName: 'node-1', serviceAccountName: 'web', ...change.spec },
  });
  return api;
}

test('a pod is reported with the facts that SPIRE selects by', async () => {
  assert.deepEqual(await fetchPodFacts(server().connect().api, NAME, 'node-1', never), {
    ...NAME,
    serviceAccount: 'web',
    nodeName: 'node-1',
    labels: { app: 'web' },
    owners: [{ kind: 'ReplicaSet', name: 'web-1', uid: 'o-1' }],
  });
});

test('another pod of that name, one on another node, and a missing one are rejected', async () => {
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

suite('a pod that is read again and again', () => {
  const lifetime = new AbortController();
  let clock: FakeClock;
  let api: MemoryKubernetes;
  let facts: (signal: AbortSignal) => Promise<PodFacts>;

  beforeEach(() => {
    clock = new FakeClock();
    api = server();
    const common = { pod: NAME, nodeName: 'node-1', clock, lifetime: lifetime.signal };
    facts = cachedPodFacts({ api: api.connect().api, ...common });
  });

  test('many callers cause one request in five seconds', async () => {
    await Promise.all(Array.from({ length: 20 }, () => facts(never)));
    await clock.advance(4999);
    await facts(never);
    assert.deepEqual(api.requests, [`GET ${PATH}`]);
  });

  test('a changed label is seen after five seconds', async () => {
    await facts(never);
    api.put(PATH, {
      metadata: { ...NAME, labels: { app: 'changed' } },
      spec: { nodeName: 'node-1' },
    });
    assert.deepEqual((await facts(never)).labels, { app: 'web' });
    await clock.advance(5000);
    assert.deepEqual((await facts(never)).labels, { app: 'changed' });
  });

  test('an error is cached, too, and replaced later', async () => {
    api.refusals.set('GET', 403);
    const refused = { code: 'ERR_KUBERNETES_API' };
    for (let call = 0; call < 10; call += 1) await assert.rejects(facts(never), refused);
    assert.equal(api.requests.length, 1);
    api.refusals.clear();
    await clock.advance(5000);
    assert.equal((await facts(never)).uid, NAME.uid);
  });

  test('a caller that aborts does not abort the others', async () => {
    const gone = new AbortController();
    const both = Promise.allSettled([facts(gone.signal), facts(never)]);
    gone.abort(new Error('enough'));
    const [first, second] = await both;
    assert.deepEqual(
      [first, second.status],
      [{ status: 'rejected', reason: new Error('enough') }, 'fulfilled'],
    );
  });

  test('the end of the driver ends a request', async () => {
    lifetime.abort(new Error('the end'));
    await assert.rejects(facts(never), /the end/);
  });
});
