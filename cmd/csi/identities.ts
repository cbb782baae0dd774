/**
 * The source of the pods' SVIDs, as the installation configures it. Wiring only.
 */
import type { Installation } from '../../src/config/installation/index.ts';
import type { PodInfo } from '../../src/csi/index.ts';
import { VouchsafeError, type Clock, type Logger, type Metrics } from '../../src/core/index.ts';
import { cachedPodFacts, type KubernetesApi } from '../../src/kubernetes/index.ts';
import type { Task } from '../../src/async/index.ts';
import { systemRandom } from '../../src/platform/index.ts';
import {
  createBroker,
  createDelegatedIdentity,
  createIdentity,
  createWorkloadApi,
  podSelectors,
  type SvidApi,
} from '../../src/spiffe/index.ts';

/** SVIDs of pods, and the background tasks that they need. */
export interface PodIdentities {
  readonly svids: (pod: PodInfo, signal: AbortSignal) => Promise<SvidApi>;
  readonly companions: readonly Task[];
  close(): void;
}

/** The parts around {@link podIdentities}. */
export interface PodIdentitiesOptions {
  readonly installation: Installation;
  readonly nodeName: string;
  /** Undefined outside of a cluster. */
  readonly kubernetes: KubernetesApi | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Creates the source of SVIDs; it connects when the first pod needs one. */
export function podIdentities(options: PodIdentitiesOptions): PodIdentities {
  switch (options.installation.csi.identity.kind) {
    case 'service-account':
      return { svids: noSvids, companions: [], close: () => undefined };
    case 'broker':
      return brokerIdentities(options);
    case 'delegated':
      return delegatedIdentities(options);
  }
}

/** Volumes that need SVIDs are denied earlier. */
function noSvids(): Promise<never> {
  const text = 'this installation has no source of SVIDs for the driver (csi.identity.kind)';
  return Promise.reject(new VouchsafeError('ERR_CONFIG_INVALID', text));
}

/** The driver authenticates with its own X.509-SVID from the Workload API of the node. */
function brokerIdentities({
  installation,
  clock,
  logger,
  metrics,
}: PodIdentitiesOptions): PodIdentities {
  const common = { clock, logger };
  const { socket, agentIds } = installation.csi.identity;
  const api = createWorkloadApi({ ...common, address: installation.spiffe.socket });
  const identity = createIdentity({ ...common, api, random: systemRandom, metrics });
  const broker = createBroker({
    ...common,
    address: socket,
    identity,
    ...(agentIds.length > 0 && { serverIds: agentIds }),
  });
  return {
    svids: (pod) => Promise.resolve(broker.workload(pod)),
    companions: [(signal) => identity.run(signal)],
    close() {
      broker.close();
      api.close();
    },
  };
}

/** The driver sends the pod's selectors as the API server knows them, which no volume attribute can change. */
function delegatedIdentities(options: PodIdentitiesOptions): PodIdentities {
  const { installation, nodeName, kubernetes, clock, logger } = options;
  if (kubernetes === undefined) {
    throw new VouchsafeError(
      'ERR_USAGE',
      'csi.identity.kind delegated requires a cluster or --api-server, where the selectors of pods come from',
    );
  }
  const { socket } = installation.csi.identity;
  const api = createDelegatedIdentity({ address: socket, clock, logger });
  const ended = new AbortController();
  return {
    svids(pod) {
      const common = { api: kubernetes, nodeName, clock, lifetime: ended.signal };
      const facts = cachedPodFacts({ ...common, pod });
      return Promise.resolve(api.workload(async (signal) => podSelectors(await facts(signal))));
    },
    companions: [],
    close() {
      ended.abort();
      api.close();
    },
  };
}
