import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { podIdentities, type PodIdentities } from '../../../cmd/csi/identities.ts';
import type { Installation } from '../../../src/config/installation/index.ts';
import { runAll } from '../../../src/async/index.ts';
import { systemClock } from '../../../src/platform/index.ts';
import { NO_LOGGER, NO_METRICS, type Clock } from '../../../src/core/index.ts';
import {
  createTrustDomain,
  startBroker,
  startDelegatedIdentity,
  startWorkloadApi,
  type DevPod,
} from '../../../src/dev/workload-api/index.ts';
import { eventually } from '../../helpers/agent-process.ts';
import {
  CANNOT_MOUNT,
  CsiWorld,
  DRIVER,
  SHORT_CALLS,
  type TestPod,
} from '../../helpers/csi-world.ts';
import { MemoryKubernetes } from '../../helpers/memory-kubernetes.ts';
import { podObject } from '../../helpers/pods.ts';

const DRIVER_ID = 'spiffe://example.org/vouchsafe/csi';
const NODE = 'node-1';

/** Attributes of a pod that logs in by its JWT-SVID, with files of SVIDs. */
const ATTRIBUTES = {
  role: 'svid',
  'secret-app': 'kv/app',
  'template-id': '{{spiffeId}}',
  'jwt-svid-cloud': 'api://cloud',
  'x509-svid': 'true',
};

/** What the API server said is old ten times as soon. */
const hurried: Clock = {
  now: () => systemClock.now(),
  monotonicMs: () => 10 * systemClock.monotonicMs(),
  sleep: (ms, signal) => systemClock.sleep(ms, signal),
};

function idOf(pod: TestPod): string {
  return `spiffe://example.org/ns/${pod.namespace}/pod/${pod.name}`;
}

function entitled(pod: TestPod, rest: Partial<DevPod> = {}): DevPod {
  return { ...pod, identities: [{ spiffeId: idOf(pod) }], ...rest };
}

/** Keeps the wiring of an identity for as long as a test. */
function started(identities: PodIdentities): AsyncDisposable {
  const ended = new AbortController();
  const done = runAll(ended.signal, identities.companions);
  return {
    async [Symbol.asyncDispose]() {
      ended.abort();
      await done;
      identities.close();
    },
  };
}

function options(
  installation: Installation,
): Omit<Parameters<typeof podIdentities>[0], 'kubernetes'> {
  return {
    installation,
    nodeName: NODE,
    clock: systemClock,
    logger: NO_LOGGER,
    metrics: NO_METRICS,
  };
}

suite('SVIDs of pods by the CSI driver', { skip: CANNOT_MOUNT }, () => {
  test('Broker API: each pod has its own SVIDs; one that is entitled to nothing waits with the reason', async () => {
    await using world = await CsiWorld.start();
    const domain = createTrustDomain('example.org', systemClock);
    const identities = [{ spiffeId: DRIVER_ID }];
    await using workloadApi = await startWorkloadApi({ domain, identities });
    const [web, job, poor] = [
      await world.pod('web'),
      await world.pod('job'),
      await world.pod('poor'),
    ];
    const pods = [entitled(web), entitled(job), { ...poor }];
    await using broker = await startBroker({ domain, pods, brokers: [DRIVER_ID] });
    await world.trustSvids(() => workloadApi.jwks(), `${domain.id}/*`);
    const identity = { kind: 'broker', socket: broker.address };
    const installation = world.installation({
      spiffe: { socket: workloadApi.address },
      csi: { enabled: true, driverName: DRIVER, identity },
    });
    const source = podIdentities({ ...options(installation), kubernetes: undefined });
    await using _running = started(source);
    const { kubelet } = await world.driver(
      { waits: SHORT_CALLS, svids: source.svids },
      installation,
    );
    for (const pod of [web, job]) {
      await world.published(kubelet, pod, { attributes: ATTRIBUTES, tokens: null });
      assert.equal(await world.file(pod, 'id'), idOf(pod));
      assert.match(await world.file(pod, 'svid.pem'), /BEGIN CERTIFICATE/);
      assert.match(await world.file(pod, 'app'), /planted/);
    }
    const plain = { attributes: ATTRIBUTES, tokens: null };
    const { code } = await world.rejectedWith(/_PENDING.*ERR_SPIFFE_DENIED/, kubelet, poor, plain);
    assert.equal(code, 4);
    const partner = broker.federate('partner.example');
    const path = 'bundle-partner.example.pem';
    await eventually(
      () =>
        world
          .file(web, path)
          .then((text) => text === partner.bundlePem || undefined)
          .catch(() => undefined),
      'the federated bundle does not arrive',
    );
    broker.endFederation('partner.example');
    await eventually(
      () =>
        world.file(web, path).then(
          () => undefined,
          () => true,
        ),
      'the federated bundle stays',
    );
    broker.setPods([...pods.slice(0, 2), entitled(poor)]);
    await world.published(kubelet, poor, plain);
    assert.equal(await world.file(poor, 'id'), idOf(poor));
  });

  test('SPIRE agent restarted: files stay, and the driver goes on with the next one', async () => {
    await using world = await CsiWorld.start();
    const domain = createTrustDomain('example.org', systemClock);
    await using workloadApi = await startWorkloadApi({
      domain,
      identities: [{ spiffeId: DRIVER_ID }],
    });
    const web = await world.pod('web');
    const address = `unix://${world.root}/broker.sock`;
    const brokers = [DRIVER_ID];
    const common = { domain, address, pods: [entitled(web)], brokers, x509TtlMs: 6000 };
    const first = await startBroker(common);
    await world.trustSvids(() => workloadApi.jwks(), `${domain.id}/*`);
    const installation = world.installation({
      spiffe: { socket: workloadApi.address },
      csi: {
        enabled: true,
        driverName: DRIVER,
        identity: { kind: 'broker', socket: first.address },
      },
    });
    const source = podIdentities({ ...options(installation), kubernetes: undefined });
    await using _running = started(source);
    const { kubelet } = await world.driver({ svids: source.svids }, installation);
    await world.publish(kubelet, web, { attributes: ATTRIBUTES, tokens: null });
    const before = await world.file(web, 'svid.pem');
    await first.close();
    await world.publish(kubelet, web, { attributes: ATTRIBUTES, tokens: null });
    assert.equal(await world.file(web, 'svid.pem'), before);
    await using _second = await startBroker(common);
    await eventually(
      async () => ((await world.file(web, 'svid.pem')) === before ? undefined : true),
      'no SVID comes from the next agent',
    );
  });

  test('Delegated Identity API: selectors come from the API server, whatever the volume says', async () => {
    await using world = await CsiWorld.start();
    const domain = createTrustDomain('example.org', systemClock);
    await using workloadApi = await startWorkloadApi({ domain });
    const [web, forger] = [await world.pod('web'), await world.pod('forger')];
    const pods = [
      entitled(web, {
        selectors: ['k8s:ns:shop', 'k8s:pod-label:app:web', `k8s:node-name:${NODE}`],
      }),
    ];
    await using agent = await startDelegatedIdentity({
      domain,
      pods,
      authorizedDelegates: [DRIVER_ID],
      caller: () => DRIVER_ID,
    });
    await world.trustSvids(() => workloadApi.jwks(), `${domain.id}/*`);
    const api = new MemoryKubernetes();
    api.put('/api/v1/namespaces/shop/pods/web', podObject(web, NODE, { app: 'web' }));
    api.put('/api/v1/namespaces/shop/pods/forger', podObject(forger, NODE, { app: 'forger' }));
    const identity = { kind: 'delegated', socket: agent.address };
    const csi = { enabled: true, driverName: DRIVER, identity };
    const installation = world.installation({ csi });
    const source = podIdentities({ ...options(installation), kubernetes: api.connect().api });
    await using _running = started(source);
    const { kubelet } = await world.driver(
      { waits: SHORT_CALLS, svids: source.svids },
      installation,
    );
    const partner = agent.federate('partner.example');
    await world.published(kubelet, web, { attributes: ATTRIBUTES, tokens: null });
    assert.equal(await world.file(web, 'id'), idOf(web));
    assert.equal(await world.file(web, 'bundle-partner.example.pem'), partner.bundlePem);
    const plain = { attributes: ATTRIBUTES, tokens: null };
    await world.rejectedWith(/ERR_CSI_PENDING.*ERR_SPIFFE_DENIED/, kubelet, forger, {
      ...plain,
      context: { 'csi.storage.k8s.io/pod-label:app': 'web' },
    });
    const impostor = { ...(await world.pod('web')), name: 'web' };
    const none = /ERR_CSI_PENDING.*ERR_KUBERNETES_API.*pod shop\/web with UID .* does not exist/;
    await world.rejectedWith(none, kubelet, impostor, plain);
  });

  test('Delegated Identity API: a pod whose labels match too late gets its SVIDs when they do', async () => {
    await using world = await CsiWorld.start();
    const domain = createTrustDomain('example.org', systemClock);
    await using workloadApi = await startWorkloadApi({ domain });
    const web = await world.pod('web');
    const pods = [entitled(web, { selectors: ['k8s:ns:shop', 'k8s:pod-label:app:web'] })];
    await using agent = await startDelegatedIdentity({
      domain,
      pods,
      authorizedDelegates: [DRIVER_ID],
      caller: () => DRIVER_ID,
    });
    await world.trustSvids(() => workloadApi.jwks(), `${domain.id}/*`);
    const api = new MemoryKubernetes();
    const path = '/api/v1/namespaces/shop/pods/web';
    api.put(path, podObject(web, NODE, {}));
    const identity = { kind: 'delegated', socket: agent.address };
    const csi = { enabled: true, driverName: DRIVER, identity };
    const installation = world.installation({ csi });
    const source = podIdentities({
      ...options(installation),
      clock: hurried,
      kubernetes: api.connect().api,
    });
    await using _running = started(source);
    const { kubelet } = await world.driver(
      { waits: SHORT_CALLS, svids: source.svids },
      installation,
    );
    const plain = { attributes: ATTRIBUTES, tokens: null };
    await world.rejectedWith(/ERR_CSI_PENDING.*ERR_SPIFFE_DENIED/, kubelet, web, plain);
    api.put(path, podObject(web, NODE, { app: 'web' }));
    await world.published(kubelet, web, plain);
    assert.equal(await world.file(web, 'id'), idOf(web));
  });

  test('Delegated Identity API outside of a cluster is rejected at the start', () => {
    const identity = { kind: 'delegated', socket: 'unix:///run/admin.sock' };
    const installation = { csi: { identity: { ...identity, agentIds: [] } } };
    assert.throws(
      () =>
        podIdentities({
          ...options(installation as unknown as Installation), // no other part is looked at
          kubernetes: undefined,
        }),
      { code: 'ERR_USAGE' },
    );
  });
});
