/** The memory of agents that have nothing to do, as the kubelet reports it. */
import { AGENT_CONTAINER } from '../../../src/admission/index.ts';
import { NODE_NAME } from '../../cluster/parts/node.ts';
import type { List, Pod } from '../../cluster/parts/objects.ts';
import { api, eventually, FOREVER, isReady, type Space } from '../../cluster/parts/suite.ts';
import { summarize, type Summary } from '../statistics.ts';
import { benchPod, type Tenant } from './pods.ts';

const START_PATIENCE_MS = 240_000;
const END_PATIENCE_MS = 120_000;
/** An agent counts when it has been ready for so long. */
const SETTLED_MS = 15_000;

/** Working set of an agent's container in MiB. */
export interface Memory {
  readonly pods: number;
  readonly workingSet: Summary;
}

interface Stats {
  readonly pods: readonly {
    readonly podRef: { readonly namespace: string };
    readonly containers?: readonly {
      readonly name: string;
      readonly memory?: { readonly time: string; readonly workingSetBytes?: number };
    }[];
  }[];
}

/** Starts pods in native mode, and looks when they have settled. */
export async function measureMemory({ space, asks }: Tenant, pods: number): Promise<Memory> {
  const names = Array.from({ length: pods }, (_, index) => `memory-${pods}-${index}`);
  const marked = { asked: asks({ mode: 'native', cpu: '1m' }) };
  await Promise.all(names.map((name) => space.create(benchPod(name, marked, FOREVER))));
  await eventually(`${pods} pods are ready`, () => every(space, pods), START_PATIENCE_MS);
  const settledMs = Date.now() + SETTLED_MS;
  const values = await eventually('the kubelet has looked at all of them', async () => {
    const found = await workingSets(space.name, settledMs);
    return found.length === pods ? found : undefined;
  });
  await Promise.all(names.map((name) => api.remove(`${space.pods}/${name}`)));
  await eventually(`${pods} pods are gone`, () => every(space, 0), END_PATIENCE_MS);
  return { pods, workingSet: summarize(values.map((bytes) => bytes / 2 ** 20)) };
}

/** Whether these are all pods there are, and ready; for {@link eventually}. */
async function every(space: Space, count: number): Promise<true | undefined> {
  const { items } = await api.get<List<Pod>>(space.pods);
  return items.length === count && items.every(isReady) ? true : undefined;
}

/** Of agents that the kubelet has looked at since then. */
async function workingSets(namespace: string, sinceMs: number): Promise<readonly number[]> {
  if (Date.now() < sinceMs) return [];
  const stats = await api.get<Stats>(`/api/v1/nodes/${NODE_NAME}/proxy/stats/summary`);
  return stats.pods
    .filter(({ podRef }) => podRef.namespace === namespace)
    .flatMap(({ containers = [] }) => containers)
    .filter(({ name }) => name === AGENT_CONTAINER)
    .flatMap(({ memory }) =>
      memory?.workingSetBytes !== undefined && Date.parse(memory.time) >= sinceMs
        ? [memory.workingSetBytes]
        : [],
    );
}
