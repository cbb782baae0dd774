/** A histogram of Prometheus, as a server exposes it. */

/** Counts below each bound, which is the least bucket's first. */
export interface Histogram {
  /** Upper bounds with how many were not above them. */
  readonly buckets: readonly (readonly [bound: number, count: number])[];
  readonly count: number;
  readonly sum: number;
}

/** Adds up all series of a metric whose labels have this text. */
export function parseHistogram(exposition: string, metric: string, labels: string): Histogram {
  const lines = exposition
    .split('\n')
    .filter((line) => line.startsWith(`${metric}_`) && line.includes(labels));
  const valueOf = (line: string): number => Number(line.slice(line.lastIndexOf(' ')));
  const total = (suffix: string): number =>
    lines
      .filter((line) => line.startsWith(`${metric}_${suffix}{`))
      .reduce((sum, line) => sum + valueOf(line), 0);
  const buckets = new Map<number, number>();
  for (const line of lines) {
    const bound = /le="([^"]+)"/.exec(line)?.[1];
    if (bound === undefined) continue;
    const key = bound === '+Inf' ? Infinity : Number(bound);
    buckets.set(key, (buckets.get(key) ?? 0) + valueOf(line));
  }
  return {
    buckets: [...buckets].sort(([one], [other]) => one - other),
    count: total('count'),
    sum: total('sum'),
  };
}

/** What came between two readings. */
export function difference(later: Histogram, earlier: Histogram): Histogram {
  const before = new Map(earlier.buckets);
  return {
    buckets: later.buckets.map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]),
    count: later.count - earlier.count,
    sum: later.sum - earlier.sum,
  };
}

/** A quantile as Prometheus computes it: within its bucket, values count as evenly spread. */
export function quantile({ buckets, count }: Histogram, share: number): number {
  const rank = share * count;
  let [from, below] = [0, 0];
  for (const [bound, upTo] of buckets) {
    if (upTo >= rank && upTo > below) {
      if (bound === Infinity) return from;
      return from + (bound - from) * ((rank - below) / (upTo - below));
    }
    [from, below] = [bound, upTo];
  }
  return NaN;
}
