/**
 * Annotations of namespaces, by the Kubernetes API. Ring: kubernetes, which only cmd imports.
 */
import { ApiException, CoreV1Api, KubeConfig, Observable } from '@kubernetes/client-node';
import { VouchsafeError, type Clock } from '../core/index.ts';

type Annotations = Readonly<Record<string, string>>;

/** How long an answer is taken as fresh. */
const FRESH_MS = 30_000;
/** How long the last answer stands in while the API does not answer. */
const STALE_MS = 10 * 60_000;
/** Namespaces kept; the one asked for longest ago makes room. */
const MAX_ENTRIES = 5000;

/** One `get` of a namespace. */
export type NamespaceReader = (name: string, signal: AbortSignal) => Promise<Annotations>;

/**
 * Reads namespaces with the service account of the pod, or with a person's kubeconfig.
 *
 * The reader throws VouchsafeError `ERR_KUBERNETES_API` that names the namespace and the HTTP status.
 */
export function kubernetesNamespaces(): NamespaceReader {
  const config = new KubeConfig();
  config.loadFromDefault();
  const api = config.makeApiClient(CoreV1Api);
  return async (name, signal) => {
    try {
      const namespace = await api.readNamespace({ name }, abortedBy(signal));
      return namespace.metadata?.annotations ?? {};
    } catch (cause) {
      signal.throwIfAborted();
      const status = cause instanceof ApiException ? `HTTP ${cause.code}` : 'no answer';
      const message = `namespace "${name}" cannot be read: ${status}`;
      throw new VouchsafeError('ERR_KUBERNETES_API', message, { cause });
    }
  };
}

/** The client has no option for a signal; its middleware sees the request. */
function abortedBy(signal: AbortSignal): Parameters<CoreV1Api['readNamespace']>[1] {
  return {
    middleware: [
      {
        pre: (request) => {
          request.setSignal(signal);
          return new Observable(Promise.resolve(request));
        },
        post: (response) => new Observable(Promise.resolve(response)),
      },
    ],
    middlewareMergeStrategy: 'append',
  };
}

/**
 * Keeps answers for half a minute. While the API does not answer, the last one stands in for ten minutes;
 * after that, and for a namespace never seen, the error of the API is thrown.
 */
export function cachedNamespaces(read: NamespaceReader, clock: Clock): NamespaceReader {
  const entries = new Map<string, { readonly annotations: Annotations; readonly atMs: number }>();
  return async (name, signal) => {
    const known = entries.get(name);
    const ageMs = known === undefined ? Infinity : clock.monotonicMs() - known.atMs;
    if (known !== undefined && ageMs < FRESH_MS) return known.annotations;
    try {
      const annotations = await read(name, signal);
      entries.delete(name);
      entries.set(name, { annotations, atMs: clock.monotonicMs() });
      const [oldest] = entries.keys();
      if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest);
      return annotations;
    } catch (error) {
      if (known !== undefined && ageMs < STALE_MS) return known.annotations;
      throw error;
    }
  };
}
