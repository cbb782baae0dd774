/**
 * Counts reviews by namespace.
 */
import type { Metrics } from '../core/index.ts';

/** Namespaces with a series of their own. */
const MAX_NAMESPACES = 1000;
/** Of reviews that name no namespace, or none that is known. */
const UNKNOWN = 'unknown';
/** Of known ones beyond the bound. */
const OTHER = 'other';

/** Counts one review; a request that was none has no namespace. */
export type CountReview = (namespace: string | undefined, outcome: string, reason: string) => void;

/**
 * Makes the counter. A namespace is a label only while `knows` it: whoever reaches the port makes names up. One that
 * is gone gives its place to another, so that a cluster with short-lived namespaces does not run out of labels.
 */
export function createReviewCounter(
  metrics: Metrics,
  knows: (namespace: string) => boolean,
): CountReview {
  const total = metrics.counter(
    'vouchsafe_admission_total',
    'Reviews by namespace (`unknown` where it is not known to exist), outcome and reason.',
    ['namespace', 'outcome', 'reason'],
  );
  /** The series of each namespace. */
  const labelled = new Map<string, Set<string>>();
  const forgetGone = (): void => {
    for (const [namespace, series] of labelled) {
      if (knows(namespace)) continue;
      labelled.delete(namespace);
      for (const key of series) {
        const [outcome = '', reason = ''] = key.split(' ');
        total.remove({ namespace, outcome, reason });
      }
    }
  };
  const labelOf = (namespace: string | undefined): string => {
    if (namespace === undefined || !knows(namespace)) return UNKNOWN;
    if (labelled.has(namespace)) return namespace;
    if (labelled.size >= MAX_NAMESPACES) forgetGone();
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
