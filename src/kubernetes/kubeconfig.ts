/**
 * A person's kubeconfig, with every way of logging in that it knows: the adapter of the Kubernetes client, which
 * is loaded here alone, because it is large. Ring: kubernetes.
 */
import type { RequestOptions } from 'node:https';
import { VouchsafeError } from '../core/index.ts';
import type { ApiAccess } from './access.ts';

/**
 * The current context of `KUBECONFIG` or `~/.kube/config`.
 *
 * @throws VouchsafeError `ERR_KUBERNETES_API` where there is none.
 */
export async function kubeconfigAccess(): Promise<ApiAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    config.loadFromDefault();
  } catch (cause) {
    throw new VouchsafeError('ERR_KUBERNETES_API', 'the kubeconfig cannot be read', { cause });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new VouchsafeError('ERR_KUBERNETES_API', 'the kubeconfig has no current cluster');
  }
  return {
    origin: cluster.server.replace(/\/+$/, ''),
    options: async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      return options;
    },
  };
}
