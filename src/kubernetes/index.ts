export {
  inClusterAccess,
  loopbackAccess,
  type ApiAccess,
  type InClusterOptions,
} from './access.ts';
export {
  apiError,
  fieldsOf,
  isConflict,
  itemsOf,
  refusalOf,
  statusOf,
  type ApiObject,
  type ApiRequest,
  type KubernetesApi,
  type WatchEvent,
} from './api.ts';
export { EventRecorder, type EventsOptions, type Occurrence } from './events.ts';
export { Informer as Followed, type FollowOptions } from './informer.ts';
export { kubeconfigAccess, type KubeconfigOptions } from './kubeconfig.ts';
export { Lease, type LeaseOptions } from './lease.ts';
export { createKubernetesApi } from './rest.ts';
export { followedNamespaces, type Namespaces, type NamespacesOptions } from './namespaces.ts';
export {
  fetchPodFacts,
  podFacts,
  type PodFacts,
  type PodFactsOptions,
  type PodName,
} from './pod-facts.ts';
