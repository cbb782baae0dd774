/**
 * Shape of the sources of a connection's CA: PEM in the values, a ConfigMap, or ClusterTrustBundles.
 */
import { grammar, shape, type Place } from '../schema/index.ts';

const NAME_WITH_PREFIX =
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const configMapKey = shape.object(
  {
    name: shape.required(shape.parsed(grammar.text('a name', 253), 'ConfigMap.')),
    key: shape.required(shape.parsed(grammar.text('a key', 253), 'Key of the ConfigMap.')),
  },
  'ConfigMap with the CA, in the namespace of the pod.',
);

const labelValue = grammar.matching(
  'the value of a label',
  /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/,
);

const requirement = shape.object(
  {
    key: shape.required(
      shape.parsed(grammar.matching('the key of a label', NAME_WITH_PREFIX), 'Label.'),
    ),
    operator: shape.required(
      shape.parsed(grammar.choice(['In', 'NotIn', 'Exists', 'DoesNotExist']), 'Operator.'),
    ),
    values: shape.list(shape.parsed(labelValue, 'one value'), 64, 'Values, with In and NotIn.'),
  },
  'One requirement, as in a LabelSelector.',
  ({ operator, values = [] }, place) => {
    if (operator === undefined) return; // reported as missing
    const takesValues = operator === 'In' || operator === 'NotIn';
    if (takesValues !== values.length > 0) {
      place.at('values').problem(takesValues ? 'must not be empty' : `conflicts with ${operator}`);
    }
  },
);

const labelSelector = shape.object(
  {
    matchLabels: shape.dictionary(
      shape.parsed(labelValue, 'value of the label'),
      NAME_WITH_PREFIX,
      'Labels that a bundle must have.',
    ),
    matchExpressions: shape.list(requirement, 64, 'Requirements that a bundle must meet.'),
  },
  'Selects bundles of the signer by label. Default: all of them.',
);

const clusterTrustBundle = shape.object(
  {
    name: shape.parsed(
      grammar.matching('the name of a ClusterTrustBundle', /^[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}$/),
      'ClusterTrustBundle. Conflicts with `signerName`.',
    ),
    signerName: shape.parsed(
      grammar.matching(
        'a signer such as `example.org/vault`',
        /^[a-z0-9.-]{1,253}\/[^\s,]{1,253}$/,
      ),
      'Signer; all of its bundles that `labelSelector` selects are trusted.',
    ),
    labelSelector,
  },
  'ClusterTrustBundles with the CA. Agents and driver follow their changes. Requires Kubernetes 1.37, or the feature gates ClusterTrustBundle and ClusterTrustBundleProjection of API server and kubelets.',
  ({ name, signerName, labelSelector: selector }, place) => {
    if (name === undefined && signerName === undefined) place.at('name').missing();
    if (name !== undefined && signerName !== undefined) {
      place.at('signerName').problem('conflicts with name: set only one of the two');
    }
    if (selector !== undefined && signerName === undefined) {
      place.at('labelSelector').problem('has no effect without signerName');
    }
  },
);

/** Fields of a connection with the sources of its CA, of which one may be set. */
export const CA_FIELDS = {
  caPem: shape.parsed(grammar.pem, 'CA in PEM.'),
  caConfigMap: configMapKey,
  clusterTrustBundle,
} as const;

/** What users have selected by {@link CA_FIELDS}. */
type GivenCa = { readonly [Name in keyof typeof CA_FIELDS]?: unknown };

/** Reports a second source of the CA. */
export function checkCaSources(given: GivenCa, place: Place): void {
  const names = (['caPem', 'caConfigMap', 'clusterTrustBundle'] as const).filter(
    (name) => given[name] !== undefined,
  );
  const [first, second] = names;
  if (first !== undefined && second !== undefined) {
    place.at(first).problem(`conflicts with ${second}: set only one of the two`);
  }
}

/** A value of `clusterTrustBundle` after reading. */
export type TrustBundleValues = NonNullable<ReturnType<typeof clusterTrustBundle.read>>;
