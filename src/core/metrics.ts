/**
 * The few instruments that parts are given. Ring: core; `src/platform/metrics.ts` keeps the registry.
 */

/** Label names and values of one sample. Values come from small closed sets, never from secrets. */
export type Labels = Readonly<Record<string, string>>;

/** Counts up. */
export interface Counter {
  add(labels?: Labels, by?: number): void;
  /** Forgets one series. */
  remove(labels: Labels): void;
}

/** Shows a current value. */
export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** Forgets one series. */
  remove(labels: Labels): void;
}

/** Counts observations by size. */
export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** Makes instruments. `labels` are the names that samples of it must carry. */
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

/** Counts nothing; the default of every part. */
export const NO_METRICS: Metrics = {
  counter: () => ({ add: () => undefined, remove: () => undefined }),
  gauge: () => ({ set: () => undefined, remove: () => undefined }),
  histogram: () => ({ observe: () => undefined }),
};
