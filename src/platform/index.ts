export { systemClock, systemRandom } from './clock.ts';
export { createLogger } from './logger.ts';
export { createMetrics, type MetricsRegistry } from './metrics.ts';
export { watchFiles } from './watch-files.ts';
