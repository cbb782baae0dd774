/**
 * Label selectors, as the API server applies them to a webhook's namespaces and pods.
 *
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
import { fieldsOf } from '../core/index.ts';
import { itemsOf } from '../kubernetes/index.ts';

/** Whether a selector matches an object with these labels; an empty one matches every object. */
export function selects(selector: unknown, labels: unknown): boolean {
  const { matchLabels, matchExpressions } = fieldsOf(selector);
  const present = fieldsOf(labels);
  return (
    Object.entries(fieldsOf(matchLabels)).every(([key, value]) => present[key] === value) &&
    itemsOf(matchExpressions).every((expression) => holds(fieldsOf(expression), present))
  );
}

function holds(
  { key, operator, values }: Readonly<Record<string, unknown>>,
  labels: Readonly<Record<string, unknown>>,
): boolean {
  const value = labels[String(key)];
  switch (operator) {
    case 'In':
      return itemsOf(values).includes(value);
    case 'NotIn':
      return !itemsOf(values).includes(value);
    case 'Exists':
      return value !== undefined;
    default:
      return value === undefined; // DoesNotExist
  }
}
