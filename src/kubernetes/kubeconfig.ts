/**
 * A kubeconfig with all its ways of authentication: the only file that uses the Kubernetes client, which is loaded on
 * demand because it is large.
 */
import type { RequestOptions } from 'node:https';
import { VouchsafeError } from '../core/index.ts';
import type { ApiAccess } from './client-config.ts';

/** Path and context of a kubeconfig. Default: the current context of `KUBECONFIG` or `~/.kube/config`. */
export interface KubeconfigOptions {
  readonly file?: string | undefined;
  readonly context?: string | undefined;
}

/**
 * Access by a context of a kubeconfig.
 *
 * @throws VouchsafeError `ERR_KUBERNETES_API` where there is no such context, or authentication fails.
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
        ? 'no current context with a cluster'
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
        const message = `${name}: authentication failed; check the program, token or certificate that it names`;
        throw new VouchsafeError('ERR_KUBERNETES_API', message, { cause });
      }
      // It creates an agent for each request; only a proxy needs that, and without it connections are kept alive.
      if (cluster.proxyUrl === undefined) delete options.agent;
      return options;
    },
  };
}
