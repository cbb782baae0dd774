/**
 * Identity of a pod as the API server reports it.
 */
import type { PodFacts, PodName } from '../contracts/index.ts';
import { fieldsOf, VouchsafeError, type Clock } from '../core/index.ts';
import { raceAbort } from '../async/index.ts';
import type { ApiObject, KubernetesApi } from './api.ts';

/** Most labels and owners that are returned; pods have fewer. */
const MAX_ENTRIES = 1000;

/** How long an answer is cached, including errors. */
const FRESH_MS = 5000;

export interface PodFactsOptions {
  readonly api: KubernetesApi;
  readonly pod: PodName;
  readonly nodeName: string;
  readonly clock: Clock;
  /** Aborts a request under way, for all its callers. */
  readonly lifetime: AbortSignal;
}

/**
 * Returns a function that reads the current facts about a pod (labels change). All callers together cause at most one
 * request in five seconds. Rejects with the errors of {@link fetchPodFacts}.
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
 * Reads the pod. Rejects one of the same name with another UID or on another node: its successor must not get the SVIDs
 * of this pod, or the reverse.
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
  const isSamePod = facts.uid === uid && facts.namespace === namespace && facts.name === name;
  if (isSamePod && facts.nodeName === nodeName) return facts;
  throw new VouchsafeError(
    'ERR_KUBERNETES_API',
    `pod ${namespace}/${name} with UID ${uid} does not exist on node ${nodeName} (any more)`,
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
      Object.entries(fieldsOf(labels))
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
  const text = fieldsOf(value)[key];
  return typeof text === 'string' ? text : '';
}
