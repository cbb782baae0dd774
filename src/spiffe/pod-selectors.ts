/**
 * The selectors that SPIRE's Kubernetes attestor would determine for a pod as a whole.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_k8s.md
 */
import type { PodFacts } from '../contracts/index.ts';

/**
 * Selectors of a pod for the Delegated Identity API. Selectors for images and containers are not included: they
 * cannot be proven before the first container starts.
 */
export function podSelectors(pod: PodFacts): readonly string[] {
  const { labels = {}, owners = [] } = pod;
  return [
    `sa:${pod.serviceAccount}`,
    `ns:${pod.namespace}`,
    `node-name:${pod.nodeName}`,
    `pod-uid:${pod.uid}`,
    `pod-name:${pod.name}`,
    ...Object.entries(labels).map(([key, value]) => `pod-label:${key}:${value}`),
    ...owners.flatMap(({ kind, name, uid }) => [
      `pod-owner:${kind}:${name}`,
      `pod-owner-uid:${kind}:${uid}`,
    ]),
  ].map((value) => `k8s:${value}`);
}
