/**
 * Who a pod is, as the API server tells it.
 */
import { VouchsafeError, type Clock } from '../core/index.ts';
import { raceAbort } from '../async/index.ts';
import type { ApiObject, KubernetesApi } from './api.ts';

/** Labels and owners that are told; a pod has fewer. */
const MAX_ENTRIES = 1000;

/** For how long an answer serves, a refusal as well. */
const FRESH_MS = 5000;

/** A pod as the kubelet names it. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A pod on its node. */
export interface PodFacts extends PodName {
  readonly serviceAccount: string;
  readonly nodeName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly owners: readonly {
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
  }[];
}

/** What {@link cachedPodFacts} needs. */
export interface PodFactsOptions {
  readonly api: KubernetesApi;
  readonly pod: PodName;
  readonly nodeName: string;
  readonly clock: Clock;
  /** Aborts a request under way, whoever waits for it. */
  readonly lifetime: AbortSignal;
}

/**
 * Who a pod is now: labels change, and an early view may be wrong. However many ask, and however often, the API server
 * is asked once in five seconds. Rejects with the errors of {@link fetchPodFacts}.
 */
export function cachedPodFacts(
  options: PodFactsOptions,
): (signal: AbortSignal) => Promise<PodFacts> {
  const { api, pod, nodeName, clock, lifetime } = options;
  let last: { readonly facts: Promise<PodFacts>; staleAtMs: number } | undefined;
  return async (signal) => {
    if (last === undefined || clock.monotonicMs() >= last.staleAtMs) {
      const next = { facts: fetchPodFacts(api, pod, nodeName, lifetime), staleAtMs: Infinity };
      const answered = (): void => void (next.staleAtMs = clock.monotonicMs() + FRESH_MS);
      next.facts.then(answered, answered);
      last = next;
    }
    return await raceAbort(last.facts, signal);
  };
}

/**
 * Asks for the pod. One of that name with another UID, or on another node, is refused: who asks for SVIDs of the one
 * must not get those of the other.
 *
 * @throws VouchsafeError `ERR_KUBERNETES_API`
 */
export async function fetchPodFacts(
  api: KubernetesApi,
  { namespace, name, uid }: PodName,
  nodeName: string,
  signal: AbortSignal,
): Promise<PodFacts> {
  const names = [namespace, 'pods', name].map(encodeURIComponent);
  const path = `/api/v1/namespaces/${names.join('/')}`;
  const facts = factsOf(await api.send({ method: 'GET', path }, signal));
  const isIt = facts.uid === uid && facts.namespace === namespace && facts.name === name;
  if (isIt && facts.nodeName === nodeName) return facts;
  throw new VouchsafeError(
    'ERR_KUBERNETES_API',
    `the API server has no pod ${namespace}/${name} with UID ${uid} on node ${nodeName} (any more)`,
  );
}

function factsOf({ metadata, spec }: ApiObject): PodFacts {
  const { labels, ownerReferences } = metadata;
  const owners: unknown[] = Array.isArray(ownerReferences) ? ownerReferences : [];
  return {
    namespace: textOf(metadata, 'namespace'),
    name: textOf(metadata, 'name'),
    uid: textOf(metadata, 'uid'),
    serviceAccount: textOf(spec, 'serviceAccountName'),
    nodeName: textOf(spec, 'nodeName'),
    labels: Object.fromEntries(
      Object.entries(objectOf(labels))
        .slice(0, MAX_ENTRIES)
        .map(([key, value]) => [key, String(value)]),
    ),
    owners: owners.slice(0, MAX_ENTRIES).map((owner) => ({
      kind: textOf(owner, 'kind'),
      name: textOf(owner, 'name'),
      uid: textOf(owner, 'uid'),
    })),
  };
}

function textOf(value: unknown, key: string): string {
  const text = objectOf(value)[key];
  return typeof text === 'string' ? text : '';
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
