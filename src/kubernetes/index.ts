export {
  inClusterAccess,
  loopbackAccess,
  type ApiAccess,
  type InClusterOptions,
} from './client-config.ts';
export {
  apiError,
  fieldsOf,
  isConflict,
  itemsOf,
  serverMessageOf,
  statusOf,
  type ApiObject,
  type ApiRequest,
  type KubernetesApi,
  type WatchEvent,
} from './api.ts';
export { EventRecorder, type EventsOptions, type EventDetails } from './events.ts';
export { Informer, type InformerOptions } from './informer.ts';
export { kubeconfigAccess, type KubeconfigOptions } from './kubeconfig.ts';
export { Lease, type LeaseOptions } from './leader-election.ts';
export { createKubernetesApi } from './rest.ts';
export { watchNamespaces, type Namespaces, type NamespacesOptions } from './namespaces.ts';
export {
  fetchPodFacts,
  cachedPodFacts,
  type PodFacts,
  type PodFactsOptions,
  type PodName,
} from './pod-facts.ts';
