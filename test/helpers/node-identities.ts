/**
 * What SPIRE gives the driver of a node: a Workload API for the driver itself, a Broker API and a Delegated Identity
 * API for the pods of the node. Its agent asks stand-ins of the kubelet who the pods are, and of the API server whether
 * the driver may have their identities.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PodName } from '../../src/contracts/index.ts';
import { startAccessReviews } from './access-reviews.ts';
import { startPodList } from './pod-list.ts';
import type { AgentSettings } from './spire-config.ts';
import { startSpire, type Spire } from './spire.ts';
import { socketPath } from './temp-directory.ts';

/** The node of the pods. */
export const NODE = 'node-1';
/** The driver that both APIs are open to. */
export const DRIVER_ID = 'spiffe://example.org/vouchsafe/csi';

/** By which the driver names a pod. */
const REFERENCE = 'type.googleapis.com/spiffe.broker.KubernetesObjectReference';

/** A pod of the node. */
export interface NodePod extends PodName {
  readonly serviceAccount: string;
}

/** The identity provider of a node, with SVIDs that live for seconds. */
export interface NodeIdentities extends AsyncDisposable {
  readonly spire: Spire;
  readonly sockets: { readonly broker: string; readonly delegated: string };
  /** What the kubelet of the node reports about its pods. */
  setPods(pods: readonly NodePod[]): void;
  /** Pods whose identities the access policy denies to the driver. */
  denyAccess(...pods: readonly NodePod[]): void;
  /** How often the access policy was asked. */
  readonly accessReviews: number;
}

/** Starts SPIRE with an agent that has both APIs. */
export async function startNode(): Promise<NodeIdentities> {
  await using started = new AsyncDisposableStack();
  const kubelet = started.adopt(await startPodList(NODE), (list) => list.close());
  const reviews = started.use(await startAccessReviews());
  const sockets = { broker: '', delegated: '' };
  const spire = started.use(
    await startSpire({
      agent: (directory) => {
        const [admin, broker] = [
          socketPath(directory, 'admin.sock'),
          socketPath(directory, 'broker.sock'),
        ];
        Object.assign(sockets, { broker: `unix://${broker}`, delegated: `unix://${admin}` });
        const kubeconfig = join(directory, 'kubeconfig');
        writeFileSync(kubeconfig, reviews.kubeconfig);
        const places = { admin, broker, kubeletPort: kubelet.port };
        return { ...nodeSettings(places), environment: { KUBECONFIG: kubeconfig } };
      },
    }),
  );
  const all = started.move();
  return {
    spire,
    sockets,
    setPods: (pods) => kubelet.setPods(pods),
    denyAccess: (...pods) => reviews.deny(...pods.map(({ name }) => name)),
    get accessReviews() {
      return reviews.count;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Both APIs for the driver alone. */
function nodeSettings(places: {
  readonly admin: string;
  readonly broker: string;
  readonly kubeletPort: number;
}): AgentSettings {
  const { admin, broker, kubeletPort } = places;
  return {
    agent: { admin_socket_path: admin, authorized_delegates: [DRIVER_ID] },
    experimental: {
      broker: {
        socket_path: broker,
        brokers: [{ id: DRIVER_ID, allowed_reference_types: [{ type_url: REFERENCE }] }],
      },
    },
    workloadAttestors: {
      k8s: {
        kubelet_read_only_port: kubeletPort,
        node_name: NODE,
        // It looks for the processes of this test run as well, which are no pod of this kubelet.
        max_poll_attempts: 1,
        poll_retry_interval: '100ms',
        experimental: { broker: { access_policy: 'enforced', brokers: [{ id: DRIVER_ID }] } },
      },
    },
  };
}
