/**
 * A watched view of the annotations of namespaces.
 */
import { VouchsafeError, type Clock, type Logger, type Random } from '../core/index.ts';
import type { ApiObject, KubernetesApi } from './api.ts';
import { Informer } from './informer.ts';
import { TokenBucket } from './token-bucket.ts';

type Annotations = Readonly<Record<string, string>>;

/** Longest age of the view at which it is used while the API server does not answer. */
const STALE_MS = 10 * 60_000;
/**
 * Limit of lookups of names that are not in the view. A namespace is missing only for a moment after its creation,
 * while any caller can make up names.
 */
const UNKNOWN = { burst: 50, perSecond: 10 } as const;
const COLLECTION = '/api/v1/namespaces';

export interface NamespacesOptions {
  readonly api: KubernetesApi;
  /** Prefix of the annotations that are kept: `vouchsafe.dev`. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
}

/** Annotations of namespaces by name. */
export interface Namespaces {
  /**
   * Reads from the view. A namespace that is not in it, and any namespace while the view is too old, is read from the
   * API server; the former at a limited rate.
   *
   * @throws VouchsafeError `ERR_KUBERNETES_API`
   */
  readonly lookup: (name: string, signal: AbortSignal) => Promise<Annotations>;
  /** True for a namespace in the view, however old the view is. Made-up names are never in it. */
  readonly has: (name: string) => boolean;
  /** Keeps the view up to date until `signal` aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Watches all namespaces. While the API server does not answer, the last view is used for ten minutes. */
export function watchNamespaces({ api, prefix, ...rest }: NamespacesOptions): Namespaces {
  const read = ({ metadata }: ApiObject): Annotations => {
    const entries = Object.entries(metadata.annotations ?? {});
    return Object.fromEntries(entries.filter(([name]) => name.startsWith(`${prefix}/`)));
  };
  const view = new Informer<Annotations>({ api, collection: COLLECTION, read, ...rest });
  const unknown = new TokenBucket(UNKNOWN, rest.clock);
  return {
    async lookup(name, signal) {
      // The namespace becomes part of a path, so it must be a valid name.
      if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
        throw new VouchsafeError(
          'ERR_KUBERNETES_API',
          'the namespace of the request is not a valid name',
        );
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
