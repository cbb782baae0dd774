export { cachedNamespaces, kubernetesNamespaces, type NamespaceReader } from './namespaces.ts';
