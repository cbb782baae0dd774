export { inClusterAccess, loopbackAccess } from './client-config.ts';
export {
  apiError,
  isConflict,
  itemsOf,
  serverMessageOf,
  statusOf,
  type ApiObject,
  type ApiRequest,
  type KubernetesApi,
  type WatchEvent,
} from './api.ts';
export { EventRecorder } from './events.ts';
export { Informer } from './informer.ts';
export { kubeconfigAccess } from './kubeconfig.ts';
export { Lease } from './leader-election.ts';
export { createKubernetesApi } from './rest.ts';
export { listOldNodes, nodesBefore } from './old-nodes.ts';
export { watchNamespaces, type Namespaces } from './namespaces.ts';
export { fetchPodFacts, cachedPodFacts } from './pod-facts.ts';
