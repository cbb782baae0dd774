/**
 * ClusterTrustBundles with the CA of a connection, as a projected volume selects them.
 */
import type { TrustBundleValues } from './ca-shape.ts';

/** A `clusterTrustBundle` source of a projected volume. */
export interface TrustBundle {
  /** The fields of the source except its path. */
  readonly source:
    | { readonly name: string }
    | { readonly signerName: string; readonly labelSelector: LabelSelector };
  /** Name of the file with the certificates; no other connection has the same. */
  readonly file: string;
}

/** As in Kubernetes. An empty one selects everything; a source without one would select nothing. */
interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

/** The source that the values of a connection select. */
export function trustBundleOf(connection: string, given: TrustBundleValues): TrustBundle {
  const file = `${connection}.crt`;
  const { name, signerName = '' } = given; // neither was reported, and the result is discarded
  if (name !== undefined) return { source: { name }, file };
  return { source: { signerName, labelSelector: selectorOf(given) }, file };
}

function selectorOf({ labelSelector }: TrustBundleValues): LabelSelector {
  const { matchLabels, matchExpressions } = labelSelector ?? {};
  return {
    ...(matchLabels !== undefined && { matchLabels }),
    ...(matchExpressions !== undefined && {
      // What is missing was reported, and the result is discarded.
      matchExpressions: matchExpressions.map(({ key = '', operator = 'Exists', values }) => ({
        key,
        operator,
        ...(values !== undefined && { values }),
      })),
    }),
  };
}
