/**
 * Counts reviews by namespace.
 */
import type { Metrics } from '../core/index.ts';

/** Most namespaces with a label of their own. */
const MAX_NAMESPACES = 1000;
/** Label of reviews without a namespace that is known to exist. */
const UNKNOWN = 'unknown';
/** Label of known namespaces beyond {@link MAX_NAMESPACES}. */
const OTHER = 'other';

/** Counts one review; the namespace is undefined where the request could not be read. */
export type CountReview = (namespace: string | undefined, outcome: string, reason: string) => void;

/**
 * Makes the counter. A namespace becomes a label only while `isKnown`, because any caller can make up names. A deleted
 * namespace makes room for another, so that a cluster with short-lived namespaces does not run out of labels.
 */
export function createReviewCounter(
  metrics: Metrics,
  isKnown: (namespace: string) => boolean,
): CountReview {
  const total = metrics.counter(
    'vouchsafe_admission_total',
    'Reviews by namespace (`unknown` where it is not known to exist), outcome and reason.',
    ['namespace', 'outcome', 'reason'],
  );
  /** Outcome and reason of each series, by namespace. */
  const labelled = new Map<string, Set<string>>();
  const removeDeleted = (): void => {
    for (const [namespace, series] of labelled) {
      if (isKnown(namespace)) continue;
      labelled.delete(namespace);
      for (const key of series) {
        const [outcome = '', reason = ''] = key.split(' ');
        total.remove({ namespace, outcome, reason });
      }
    }
  };
  const labelOf = (namespace: string | undefined): string => {
    if (namespace === undefined || !isKnown(namespace)) return UNKNOWN;
    if (labelled.has(namespace)) return namespace;
    if (labelled.size >= MAX_NAMESPACES) removeDeleted();
    if (labelled.size >= MAX_NAMESPACES) return OTHER;
    labelled.set(namespace, new Set());
    return namespace;
  };
  return (namespace, outcome, reason) => {
    const label = labelOf(namespace);
    labelled.get(label)?.add(`${outcome} ${reason}`);
    total.add({ namespace: label, outcome, reason });
  };
}
