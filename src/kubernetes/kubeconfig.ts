/**
 * A person's kubeconfig, with every way of logging in that it knows: the adapter of the Kubernetes client, which
 * is loaded here alone, because it is large.
 */
import type { RequestOptions } from 'node:https';
import { VouchsafeError } from '../core/index.ts';
import type { ApiAccess } from './access.ts';

/** Which kubeconfig; by default the current context of `KUBECONFIG` or `~/.kube/config`. */
export interface KubeconfigOptions {
  readonly file?: string | undefined;
  readonly context?: string | undefined;
}

/**
 * A context of a kubeconfig.
 *
 * @throws VouchsafeError `ERR_KUBERNETES_API` where there is none, or its way of logging in fails.
 */
export async function kubeconfigAccess(options: KubeconfigOptions = {}): Promise<ApiAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const name = options.file === undefined ? 'the kubeconfig' : `the kubeconfig ${options.file}`;
  try {
    if (options.file === undefined) config.loadFromDefault();
    else config.loadFromFile(options.file);
  } catch (cause) {
    throw new VouchsafeError('ERR_KUBERNETES_API', `${name} cannot be read`, { cause });
  }
  if (options.context !== undefined) config.setCurrentContext(options.context);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const what =
      options.context === undefined
        ? 'no current cluster'
        : `no context ${options.context} with a cluster`;
    throw new VouchsafeError('ERR_KUBERNETES_API', `${name} has ${what}`);
  }
  return {
    origin: cluster.server.replace(/\/+$/, ''),
    options: async () => {
      const options: RequestOptions = {};
      try {
        await config.applyToHTTPSOptions(options);
      } catch (cause) {
        const message = `${name} cannot log in: a program, token or certificate that it names fails`;
        throw new VouchsafeError('ERR_KUBERNETES_API', message, { cause });
      }
      // It makes an agent for each request; unless there is a proxy, connections are better kept alive.
      if (cluster.proxyUrl === undefined) delete options.agent;
      return options;
    },
  };
}
