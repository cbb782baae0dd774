/**
 * Annotations of namespaces, watched.
 */
import { VouchsafeError, type Clock, type Logger, type Random } from '../core/index.ts';
import type { ApiObject, KubernetesApi } from './api.ts';
import { Informer } from './informer.ts';
import { TokenBucket } from './token-bucket.ts';

type Annotations = Readonly<Record<string, string>>;

/** How long the last view stands in while the API does not answer. */
const STALE_MS = 10 * 60_000;
/**
 * How often a name that the view lacks is asked for. A namespace is that new for a moment alone, while anybody who
 * reaches the port makes names up.
 */
const UNKNOWN = { burst: 50, perSecond: 10 } as const;
const COLLECTION = '/api/v1/namespaces';

/** What {@link watchNamespaces} needs. */
export interface NamespacesOptions {
  readonly api: KubernetesApi;
  /** Annotations with this prefix (`vouchsafe.dev`) alone are kept. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
}

/** Annotations of namespaces by name. */
export interface Namespaces {
  /**
   * From the view; a namespace that is not in it, and every one while there is no view that counts, is asked for.
   * Names that are not in the view are asked for as often as namespaces are made, and no more.
   *
   * @throws VouchsafeError `ERR_KUBERNETES_API`
   */
  readonly lookup: (name: string, signal: AbortSignal) => Promise<Annotations>;
  /** True for a namespace that the view has, however old the view is. Names that somebody made up are not in it. */
  readonly has: (name: string) => boolean;
  /** Keeps the view. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Follows all namespaces. While the API is away the last view stands in for ten minutes. */
export function watchNamespaces({ api, prefix, ...rest }: NamespacesOptions): Namespaces {
  const read = ({ metadata }: ApiObject): Annotations => {
    const entries = Object.entries(metadata.annotations ?? {});
    return Object.fromEntries(entries.filter(([name]) => name.startsWith(`${prefix}/`)));
  };
  const view = new Informer<Annotations>({ api, collection: COLLECTION, read, ...rest });
  const unknown = new TokenBucket(UNKNOWN, rest.clock);
  return {
    async lookup(name, signal) {
      // A review's namespace is a path of ours: only what can be a name may become one.
      if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
        throw new VouchsafeError('ERR_KUBERNETES_API', 'the request names no namespace');
      }
      const known = view.get(name);
      if (known !== undefined && view.ageMs < STALE_MS) return known;
      if (known === undefined && !unknown.take()) {
        throw new VouchsafeError('ERR_KUBERNETES_API', 'too many reviews of unknown namespaces');
      }
      return read(await api.send({ method: 'GET', path: `${COLLECTION}/${name}` }, signal));
    },
    has: (name) => view.get(name) !== undefined,
    run: (signal) => view.run(signal),
  };
}
