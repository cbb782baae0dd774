/**
 * What a pod requires of its node: node selector, required node affinity and node name. Preferences and tolerations
 * require nothing.
 *
 * @see https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
 */
import type { NodeFacts } from '../contracts/index.ts';
import { fieldsOf, type Fields } from '../core/index.ts';
import type { Pod } from './pod.ts';

/** One requirement on the label of a node. */
export interface Requirement {
  readonly label: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** A term of the required node affinity: all its requirements have to be met. */
interface Term {
  readonly labels: readonly Requirement[];
  /** Requirements on fields of the node, of which there is only `metadata.name`. */
  readonly fields: readonly Requirement[];
}

/** The node selector of a pod. */
export function selectedLabels({ spec }: Pod): readonly Requirement[] {
  return Object.entries(spec.nodeSelector ?? {}).map(([label, value]) => ({
    label,
    operator: 'In',
    values: [String(value)],
  }));
}

/** The terms of the required node affinity, one of which has to match; undefined if there is no such affinity. */
export function requiredTerms({ spec }: Pod): readonly Term[] | undefined {
  const nodeAffinity = fieldsOf(fieldsOf(spec['affinity'])['nodeAffinity']);
  const required = fieldsOf(nodeAffinity['requiredDuringSchedulingIgnoredDuringExecution']);
  const terms = listOf(required['nodeSelectorTerms']).map(fieldsOf);
  if (terms.length === 0) return undefined;
  return terms
    .map((term) => ({
      labels: requirementsOf(term, 'matchExpressions'),
      fields: requirementsOf(term, 'matchFields'),
      isEmpty: isEmpty(term['matchExpressions']) && isEmpty(term['matchFields']),
    }))
    .filter((term) => !term.isEmpty); // a term without requirements matches no node
}

/** Whether a pod may be scheduled to a node, as far as its requirements decide that. */
export function mayRunOn(pod: Pod, node: NodeFacts): boolean {
  const { nodeName } = pod.spec;
  if (typeof nodeName === 'string' && nodeName !== '') return nodeName === node.name;
  const meets = (requirement: Requirement): boolean =>
    isMet(requirement, node.labels[requirement.label]);
  const isNamed = (requirement: Requirement): boolean => isMet(requirement, node.name);
  const terms = requiredTerms(pod);
  return (
    selectedLabels(pod).every(meets) &&
    (terms?.some(({ labels, fields }) => labels.every(meets) && fields.every(isNamed)) ?? true)
  );
}

/** Whether the label's value, undefined without the label, meets a requirement. An unknown operator is met. */
function isMet({ operator, values }: Requirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return isComparisonMet(operator, value, Number(values[0]));
  }
}

function isComparisonMet(operator: string, value: string | undefined, limit: number): boolean {
  if (operator !== 'Gt' && operator !== 'Lt') return true;
  const amount = Number(value); // NaN without the label, which meets no comparison
  return operator === 'Gt' ? amount > limit : amount < limit;
}

function requirementsOf(term: Fields, field: string): readonly Requirement[] {
  return listOf(term[field]).flatMap((item) => {
    const { key, operator, values } = fieldsOf(item);
    if (typeof key !== 'string' || typeof operator !== 'string') return [];
    return [{ label: key, operator, values: listOf(values).map(String) }];
  });
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isEmpty(value: unknown): boolean {
  return listOf(value).length === 0;
}
