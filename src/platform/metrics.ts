/**
 * The metrics registry, by prom-client.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from '../core/index.ts';

/** Instruments, and their exposition in the Prometheus text format. */
export interface MetricsRegistry extends Metrics {
  /** Content type of {@link expose}. */
  readonly contentType: string;
  expose(): Promise<string>;
}

/** A separate registry. The same name returns the same instrument. */
export function createMetrics(): MetricsRegistry {
  const registry = new Registry();
  const registers = [registry];
  const known = new Map<string, unknown>();
  const once = <T>(name: string, make: () => T): T => {
    if (!known.has(name)) known.set(name, make());
    return known.get(name) as T; // the name was made by the same kind of call
  };
  return {
    contentType: registry.contentType,
    expose: () => registry.metrics(),
    counter(name, help, labelNames = []) {
      const metric = once(name, () => new Counter({ name, help, labelNames, registers }));
      return {
        add: (labels = {}, by = 1) => metric.inc(labels, by),
        remove: (labels) => metric.remove(labels),
      };
    },
    gauge(name, help, labelNames = []) {
      const metric = once(name, () => new Gauge({ name, help, labelNames, registers }));
      return {
        set: (value, labels = {}) => metric.set(labels, value),
        remove: (labels) => metric.remove(labels),
      };
    },
    histogram(name, help, buckets, labelNames = []) {
      const make = (): Histogram =>
        new Histogram({ name, help, labelNames, buckets: [...buckets], registers });
      const metric = once(name, make);
      return { observe: (value, labels = {}) => metric.observe(labels, value) };
    },
  };
}
