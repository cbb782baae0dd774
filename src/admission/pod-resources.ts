/**
 * Resources of a pod's own containers, and of the pod as a whole, by the rules of the API server and the kubelet.
 */
import { quantityOf } from '../core/index.ts';
import type { Container, Pod } from './pod.ts';

/** Resources that a pod's level and its class depend on. */
export type Resource = 'cpu' | 'memory';

/** Request and limit of one resource; CPU in cores, memory in bytes. */
export interface LevelAmount {
  readonly request: number | undefined;
  readonly limit: number | undefined;
}

/** What `spec.resources` says about a resource; undefined if it does not name it. */
export function podLevel({ spec }: Pod, name: Resource): LevelAmount | undefined {
  const { request, limit } = amountOf(spec['resources'], name);
  return request === undefined && limit === undefined ? undefined : { request, limit };
}

/**
 * Whether the pod has the class Guaranteed by its containers: every one, init containers included, has a limit of CPU and
 * memory, and requests that are not less. Resources of the pod's level decide alone where they exist.
 */
export function isGuaranteed(pod: Pod): boolean {
  const names = ['cpu', 'memory'] as const;
  if (names.some((name) => podLevel(pod, name) !== undefined)) return false;
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  return all.every((container) =>
    names.every((name) => {
      const { request, limit } = amountOf(container['resources'], name);
      const isSet = limit !== undefined && limit > 0;
      return isSet && (request === undefined || isAlike(request, limit));
    }),
  );
}

/**
 * The request of all containers together: the sum of those that run at the same time, or the largest init container with
 * the sidecars that have started before it.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
 */
export function aggregateRequest(
  init: readonly Container[],
  containers: readonly Container[],
  name: Resource,
): number {
  let sidecars = 0;
  let most = 0;
  for (const container of init) {
    const request = requestOf(container, name);
    if (container.restartPolicy === 'Always') sidecars += request;
    most = Math.max(most, container.restartPolicy === 'Always' ? sidecars : sidecars + request);
  }
  const running = containers.reduce((sum, one) => sum + requestOf(one, name), sidecars);
  return Math.max(running, most);
}

/** A request that is not set is the limit. */
function requestOf(container: Container, name: Resource): number {
  const { request, limit } = amountOf(container['resources'], name);
  return request ?? limit ?? 0;
}

function amountOf(resources: unknown, name: Resource): LevelAmount {
  return {
    request: quantityOf(fieldOf(fieldOf(resources, 'requests'), name)),
    limit: quantityOf(fieldOf(fieldOf(resources, 'limits'), name)),
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}

/** Equal but for the rounding of fractions. */
function isAlike(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-9 * Math.max(a, b);
}
