/** What `cmd/csi` makes of its settings to get SVIDs of pods, on a node with an API server in memory. */
import { podIdentities, type PodIdentities } from '../../cmd/csi/identities.ts';
import { parseInstallation } from '../../src/config/installation/index.ts';
import { NO_METRICS, type Logger } from '../../src/core/index.ts';
import { runAll } from '../../src/async/index.ts';
import { systemClock } from '../../src/platform/index.ts';
import { MemoryKubernetes } from './memory-kubernetes.ts';
import { NODE, type NodeIdentities, type NodePod } from './node-identities.ts';
import { podObject } from './pods.ts';
import { recordingLogger, type RecordingLogger } from './recorder.ts';

/** One of the two ways. */
export type PodSourceKind = keyof NodeIdentities['sockets'];

/** A running source of SVIDs. */
export class PodSource implements AsyncDisposable {
  readonly svids: PodIdentities['svids'];
  readonly logger: RecordingLogger = recordingLogger();
  readonly #identities: PodIdentities;
  readonly #ended = new AbortController();
  readonly #done: Promise<void>;

  constructor(kind: PodSourceKind, node: NodeIdentities, pods: readonly NodePod[]) {
    const cluster = new MemoryKubernetes();
    for (const pod of pods) {
      cluster.put(`/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`, podObject(pod, NODE));
    }
    const logger: Logger = this.logger;
    this.#identities = podIdentities({
      installation: parseInstallation(sourceValues(kind, node)),
      nodeName: NODE,
      kubernetes: cluster.connect().api,
      clock: systemClock,
      logger,
      metrics: NO_METRICS,
    });
    this.svids = this.#identities.svids;
    this.#done = runAll(this.#ended.signal, this.#identities.companions);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#done;
    this.#identities.close();
  }
}

/** Values of an installation whose driver gets SVIDs of pods that way. */
export function sourceValues(
  kind: PodSourceKind,
  node: NodeIdentities,
): Readonly<Record<string, unknown>> {
  return {
    spiffe: { socket: node.spire.socket },
    csi: { enabled: true, identity: { kind, socket: node.sockets[kind] } },
  };
}
