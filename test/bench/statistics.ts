/** The few numbers that stand for many. */

/** Median and least of some measurements. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly values: readonly number[];
}

export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const high = sorted[middle] ?? NaN;
  const median = sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? NaN) + high) / 2;
  return { median, least: sorted[0] ?? NaN, values };
}

/** The value that a share of all do not exceed: one of them. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** What ours is to be: at most a share of theirs, at most a number, or that number. */
export type Target =
  { readonly ratio: number } | { readonly most: number } | { readonly exactly: number };

/** One line of the report. */
export interface Measurement {
  readonly name: string;
  readonly unit: string;
  readonly ours: Summary;
  /** What stands beside it: `vault agent`, unless the name says otherwise; undefined where there is nothing like it. */
  readonly theirs?: Summary;
  readonly target?: Target;
}

/** Whether a measurement meets its target; undefined where it has none. */
export function isMet({ ours, theirs, target }: Measurement): boolean | undefined {
  if (target === undefined) return undefined;
  if ('exactly' in target) return ours.values.every((value) => value === target.exactly);
  const most = 'most' in target ? target.most : target.ratio * (theirs?.median ?? NaN);
  return ours.median <= most;
}
