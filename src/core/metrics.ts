/**
 * The metrics interface. `src/platform/metrics.ts` has the registry.
 */

/** Label names and values of one sample. Values come from small closed sets, never from secrets. */
export type Labels = Readonly<Record<string, string>>;

/** A value that only increases. */
export interface Counter {
  add(labels?: Labels, by?: number): void;
  /** Removes one series. */
  remove(labels: Labels): void;
}

/** A current value. */
export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** Removes one series. */
  remove(labels: Labels): void;
}

/** Counts observations by size. */
interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** Creates instruments. `labels` are the label names that every sample must have. */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  gauge(name: string, help: string, labels?: readonly string[]): Gauge;
  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly string[],
  ): Histogram;
}

/** Records nothing; the default everywhere. */
export const NO_METRICS: Metrics = {
  counter: () => ({ add: () => undefined, remove: () => undefined }),
  gauge: () => ({ set: () => undefined, remove: () => undefined }),
  histogram: () => ({ observe: () => undefined }),
};
