/** The webhook on the real API server: down and back, its certificate lost and spoilt, one replica or many. */
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { admits, admitsDuring, ASKS } from './parts/asking.ts';
import type { List, Pod } from './parts/objects.ts';
import { annotations, api, eventually, FOREVER, isReady } from './parts/suite.ts';
import { shellContainer, shellPod, Space } from './parts/suite.ts';
import { answers, webhookPods } from './parts/installing.ts';
import { RELEASE } from './parts/release.ts';

const NAME = `${RELEASE}-webhook`;
const NAMESPACE = `/api/v1/namespaces/${RELEASE}`;
const DEPLOYMENT = `/apis/apps/v1/namespaces/${RELEASE}/deployments/${NAME}`;
const SECRET = `${NAMESPACE}/secrets/${NAME}-tls`;
const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${RELEASE}/leases/${NAME}`;
const CONFIGURATION = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${NAME}`;

interface Configuration {
  readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

interface Secret {
  readonly metadata: { readonly uid: string };
  readonly data: Readonly<Record<string, string>>;
}

async function scale(replicas: number): Promise<void> {
  await api.patch(DEPLOYMENT, { spec: { replicas } });
  await eventually(`${replicas} replicas are ready, and no more`, async () => {
    const { items } = await webhookPods();
    return items.length === replicas && items.every(isReady) ? true : undefined;
  });
  if (replicas > 0) await answers();
}

async function caBundles(): Promise<readonly string[]> {
  const { webhooks } = await api.get<Configuration>(CONFIGURATION);
  return webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? '');
}

suite('the webhook in a cluster', () => {
  after(() => scale(2));

  test('down: pods that request injection are denied with a reason, others start; back: the ReplicaSet recovers', async () => {
    await using space = await Space.create();
    await space.grantSecret({ password: 'planted' });
    await scale(0);
    await assert.rejects(
      space.create(shellPod('asks', ASKS, 'true')),
      /failed calling webhook "pods\.vouchsafe\.dev".*(connection refused|no endpoints|no route to host)/s,
    );
    const labels = { app: 'app' };
    const asked = { ...space.login, 'secret-password': `${space.secret}#password` };
    await api.create(`/apis/apps/v1/namespaces/${space.name}/replicasets`, {
      metadata: { name: 'app' },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels, annotations: annotations(asked) },
          spec: { containers: [shellContainer('app', FOREVER)], terminationGracePeriodSeconds: 2 },
        },
      },
    });
    await space.create(shellPod('plain', {}, FOREVER));
    await space.create(shellPod('declines', { inject: 'false' }, FOREVER));
    await space.ready('plain');
    await space.ready('declines');
    await eventually('the ReplicaSet says why', async () => {
      const events = await space.events('app');
      const failure = /failed calling webhook "pods\.vouchsafe\.dev"/;
      return events.some(({ message }) => failure.test(message)) ? true : undefined;
    });
    await scale(2);
    await eventually(
      'the ReplicaSet recovers by itself',
      async () => {
        const { items } = await api.get<List<Pod>>(`${space.pods}?labelSelector=app%3Dapp`);
        return items.length === 2 && items.every(isReady) ? true : undefined;
      },
      120_000,
    );
  });

  test('three replicas that start at once with nothing there agree on one authority', async () => {
    await using space = await Space.create();
    await scale(0);
    await api.remove(SECRET);
    await api.remove(LEASE).catch(() => undefined); // one that nobody holds may be gone
    await scale(3);
    const [bundle, ...others] = await caBundles();
    assert.ok(bundle !== undefined && others.every((other) => other === bundle));
    for (let round = 0; round < 30; round += 1) await admits(space);
  });

  test('the leader is killed: no admission fails', async (t) => {
    await using space = await Space.create();
    const { spec } = await api.get<{ spec: { holderIdentity: string } }>(LEASE);
    const count = await admitsDuring(space, async () => {
      await api.remove(`${NAMESPACE}/pods/${spec.holderIdentity}`, { gracePeriodSeconds: 30 });
      await eventually('it is replaced', async () => {
        const { items } = await webhookPods();
        const isGone = items.every(({ metadata }) => metadata.name !== spec.holderIdentity);
        return isGone && items.length === 3 && items.every(isReady) ? true : undefined;
      });
    });
    t.diagnostic(`${count} admissions meanwhile`);
  });

  test('the Secret is deleted: it comes back, and no admission fails', async () => {
    await using space = await Space.create();
    const before = await api.get<Secret>(SECRET);
    await admitsDuring(space, async () => {
      await api.remove(SECRET);
      await eventually('there is a new one', async () => {
        const { metadata } = await api.get<Secret>(SECRET);
        return metadata.uid === before.metadata.uid ? undefined : true;
      });
    });
    await admits(space);
  });

  test('garbage in the Secret: it is replaced, and no admission fails', async () => {
    await using space = await Space.create();
    const { data } = await api.get<Secret>(SECRET);
    const garbage = Buffer.from('garbage').toString('base64');
    const spoilt = Object.fromEntries(Object.keys(data).map((key) => [key, garbage]));
    await admitsDuring(space, async () => {
      await api.patch(SECRET, { data: spoilt });
      await eventually('it is put right', async () => {
        const now = await api.get<Secret>(SECRET);
        return Object.values(now.data).includes(garbage) ? undefined : true;
      });
    });
    await admits(space);
  });

  test('the caBundle is blanked: it is written again within seconds', async (t) => {
    await using space = await Space.create();
    const [bundle = ''] = await caBundles();
    const { webhooks } = await api.get<Configuration>(CONFIGURATION);
    const started = performance.now();
    await api.patch(CONFIGURATION, {
      webhooks: webhooks.map((one) => ({
        ...one,
        clientConfig: { ...one.clientConfig, caBundle: null },
      })),
    });
    await eventually('all bundles are back', async () =>
      (await caBundles()).every((one) => one === bundle) ? true : undefined,
    );
    t.diagnostic(`after ${Math.round(performance.now() - started)} ms`);
    await eventually(
      'it is called again',
      async () => {
        await admits(space);
        return true;
      },
      10_000,
    );
  });
});
