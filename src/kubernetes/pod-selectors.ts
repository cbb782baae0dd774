/**
 * The selectors that SPIRE's Kubernetes attestor would find for a pod, from the API server's view of it. Those of
 * containers and images are left out: nobody can vouch for them before a container runs. Ring: kubernetes.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_k8s.md
 */
import { VouchsafeError } from '../core/index.ts';
import type { ApiObject, KubernetesApi } from './api.ts';

/** Labels and owners that are made selectors of; a pod has fewer. */
const MAX_ENTRIES = 1000;

/** A pod as the kubelet names it. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/**
 * Asks for the pod. One of that name with another UID, or on another node, is refused: who asked for SVIDs of the one
 * must not get those of the other.
 *
 * @throws VouchsafeError `ERR_KUBERNETES_API`
 */
export async function podSelectors(
  api: KubernetesApi,
  { namespace, name, uid }: PodName,
  nodeName: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const path = [
    '/api/v1/namespaces',
    encodeURIComponent(namespace),
    'pods',
    encodeURIComponent(name),
  ];
  const pod = await api.send({ method: 'GET', path: path.join('/') }, signal);
  const { spec, metadata } = pod;
  const isIt =
    metadata['uid'] === uid &&
    metadata['namespace'] === namespace &&
    textOf(spec, 'nodeName') === nodeName;
  if (isIt) return selectorsOf(pod);
  throw new VouchsafeError(
    'ERR_KUBERNETES_API',
    `the API server has no pod ${namespace}/${name} with UID ${uid} on node ${nodeName} (any more)`,
  );
}

function selectorsOf({ metadata, spec }: ApiObject): readonly string[] {
  const { name = '', namespace, uid, labels, ownerReferences } = metadata;
  const owners = (Array.isArray(ownerReferences) ? ownerReferences : []).slice(0, MAX_ENTRIES);
  const values = [
    `sa:${textOf(spec, 'serviceAccountName')}`,
    `ns:${String(namespace)}`,
    `node-name:${textOf(spec, 'nodeName')}`,
    `pod-uid:${String(uid)}`,
    `pod-name:${name}`,
    ...Object.entries(objectOf(labels))
      .slice(0, MAX_ENTRIES)
      .map(([key, value]) => `pod-label:${key}:${String(value)}`),
    ...owners.flatMap((owner) => [
      `pod-owner:${textOf(owner, 'kind')}:${textOf(owner, 'name')}`,
      `pod-owner-uid:${textOf(owner, 'kind')}:${textOf(owner, 'uid')}`,
    ]),
  ];
  return values.map((value) => `k8s:${value}`);
}

function textOf(value: unknown, key: string): string {
  const text = objectOf(value)[key];
  return typeof text === 'string' ? text : '';
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
