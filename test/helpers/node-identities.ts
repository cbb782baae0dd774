/**
 * What SPIRE's agent and the embedded APIs give the driver of a node, so that one list of tests runs against both: a
 * Workload API for the driver itself, a Broker API and a Delegated Identity API for the pods of the node.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createTrustDomain,
  startBroker,
  startDelegatedIdentity,
  startOidcProvider,
  startWorkloadApi,
  type DevIdentity,
  type DevPod,
} from '../../src/dev/workload-api/index.ts';
import type { PodName } from '../../src/contracts/index.ts';
import { podSelectors } from '../../src/spiffe/index.ts';
import type { Entry } from './identity-provider.ts';
import { startPodList } from './pod-list.ts';
import type { AgentSettings } from './spire-config.ts';
import { startSpire } from './spire.ts';
import { socketPath } from './temp-directory.ts';

/** The node of the pods. */
export const NODE = 'node-1';
/** The driver that both APIs are open to. */
export const DRIVER_ID = 'spiffe://example.org/vouchsafe/csi';

/** A pod of the node. */
export interface NodePod extends PodName {
  readonly serviceAccount: string;
}

/** The identity provider of a node, with SVIDs that live for seconds. */
export interface NodeIdentities extends AsyncDisposable {
  readonly workloadApi: string;
  readonly sockets: { readonly broker: string; readonly delegated: string };
  /** Where Vault finds the keys of JWT-SVIDs. */
  readonly jwksUrl: string;
  /** The X.509 authorities, PEM. */
  authorities(): Promise<string>;
  /** An entry: with selectors for pods, without for the processes of this test run, the driver among them. */
  register(entry: Entry): Promise<void>;
  deregister(spiffeId: string): Promise<void>;
  /** What the kubelet of the node reports about its pods. */
  setPods(pods: readonly NodePod[]): void;
  /** Ends what serves the APIs, and starts it again; the trust domain stays. */
  restart(): Promise<void>;
}

/** Starts the APIs that `vouchsafe dev` has. */
export async function startEmbeddedNode(): Promise<NodeIdentities> {
  const directory = await mkdtemp(join(tmpdir(), 'vouchsafe-embedded-'));
  const addressOf = (name: string): string => `unix://${socketPath(directory, `${name}.sock`)}`;
  const domain = createTrustDomain('example.org');
  const common = { domain, jwtTtlMs: 12_000, x509TtlMs: 10_000 };
  let entries: readonly Entry[] = [];
  let pods: readonly NodePod[] = [];
  const driverIds = (): readonly DevIdentity[] =>
    entries.filter(({ selectors }) => selectors === undefined);
  const start = async () => ({
    workloadApi: await startWorkloadApi({ ...common, address: addressOf('workload') }),
    broker: await startBroker({ ...common, address: addressOf('broker'), brokers: [DRIVER_ID] }),
    delegated: await startDelegatedIdentity({
      ...common,
      address: addressOf('admin'),
      authorizedDelegates: [DRIVER_ID],
      caller: () => driverIds()[0]?.spiffeId,
    }),
  });
  let apis = await start();
  const push = (): void => {
    apis.workloadApi.setIdentities(driverIds());
    apis.broker.setPods(pods.map((pod) => ({ ...pod, identities: entitled(pod, entries) })));
    apis.delegated.setPods(entries.flatMap(rowOf));
  };
  const close = async (): Promise<void> => {
    for (const api of Object.values(apis)) await api.close();
  };
  const oidc = await startOidcProvider({ jwks: () => ({ keys: domain.jwks().keys }) });
  return {
    workloadApi: addressOf('workload'),
    sockets: { broker: addressOf('broker'), delegated: addressOf('admin') },
    jwksUrl: `${oidc.url}/keys`,
    authorities: () => Promise.resolve(domain.bundlePem),
    register(entry) {
      entries = [...entries, entry];
      push();
      return Promise.resolve();
    },
    deregister(spiffeId) {
      entries = entries.filter((entry) => entry.spiffeId !== spiffeId);
      push();
      return Promise.resolve();
    },
    setPods(next) {
      pods = next;
      push();
    },
    async restart() {
      await close();
      apis = await start();
      push();
    },
    async [Symbol.asyncDispose]() {
      await oidc.close();
      await close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What the entries give a pod whose selectors its kubelet vouches for. */
function entitled(pod: NodePod, entries: readonly Entry[]): readonly DevIdentity[] {
  const known = new Set(podSelectors({ ...pod, nodeName: NODE }));
  return entries.filter(({ selectors }) => selectors?.every((one) => known.has(one)) === true);
}

/** An entry as the Delegated Identity API has it: every caller that names its selectors is entitled. */
function rowOf({ selectors, ...identity }: Entry): readonly DevPod[] {
  if (selectors === undefined) return [];
  const { spiffeId } = identity;
  return [{ uid: spiffeId, namespace: '', name: '', selectors, identities: [identity] }];
}

/** Starts SPIRE: an agent with both APIs, which asks a kubelet about pods. */
export async function startSpireNode(): Promise<NodeIdentities> {
  const kubelet = await startPodList(NODE);
  const sockets = { broker: '', delegated: '' };
  const spire = await startSpire((directory) => {
    const [admin, broker] = ['admin', 'broker'].map((name) =>
      socketPath(directory, `${name}.sock`),
    );
    sockets.broker = `unix://${broker ?? ''}`;
    sockets.delegated = `unix://${admin ?? ''}`;
    return nodeSettings({ admin, broker, kubeletPort: kubelet.port });
  }).catch(async (error: unknown) => {
    await kubelet.close();
    throw error;
  });
  return {
    workloadApi: spire.socket,
    sockets,
    jwksUrl: spire.jwksUrl,
    authorities: () => spire.authorities(),
    register: (entry) => spire.register(entry),
    deregister: (spiffeId) => spire.deregister(spiffeId),
    setPods: (pods) => kubelet.setPods(pods),
    restart: () => spire.restart(),
    async [Symbol.asyncDispose]() {
      await spire[Symbol.asyncDispose]();
      await kubelet.close();
    },
  };
}

/** Both APIs for the driver alone. Without an API server its attestor can ask nobody whether the driver may. */
function nodeSettings(places: {
  readonly admin: string | undefined;
  readonly broker: string | undefined;
  readonly kubeletPort: number;
}): AgentSettings {
  const { admin, broker, kubeletPort } = places;
  return {
    agent: { admin_socket_path: admin, authorized_delegates: [DRIVER_ID] },
    experimental: {
      broker: {
        socket_path: broker,
        brokers: [{ id: DRIVER_ID, allowed_reference_types: [{ type_url: '*' }] }],
      },
    },
    workloadAttestors: {
      k8s: {
        kubelet_read_only_port: kubeletPort,
        node_name: NODE,
        // It looks for the processes of this test run as well, which are no pod of this kubelet.
        max_poll_attempts: 1,
        poll_retry_interval: '100ms',
        experimental: { broker: { access_policy: 'permissive', brokers: [{ id: DRIVER_ID }] } },
      },
    },
  };
}
