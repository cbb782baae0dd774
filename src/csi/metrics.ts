/**
 * What the driver counts. Ring: csi. Labels are closed sets, or names of pods that are on this node now.
 */
import type { Gauge, Metrics } from '../core/index.ts';
import type { VolumeRecord } from './records.ts';
import type { Volumes } from './volumes.ts';

/** From a mount alone, 5 ms, to the longest wait of a call. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Counts calls. */
export interface CallMetrics {
  /** `result` is `new`, `known` or the code of an error. */
  published(result: string, durationMs: number): void;
  /** `result` is `ok` or the code of an error. */
  unpublished(result: string): void;
}

/** Makes the counters of the calls. */
export function createCallMetrics(metrics: Metrics): CallMetrics {
  const publishes = metrics.counter(
    'vouchsafe_csi_publishes_total',
    'Calls to publish a volume, by result: new, known (asked for again), or an error code.',
    ['result'],
  );
  const seconds = metrics.histogram(
    'vouchsafe_csi_publish_duration_seconds',
    'How long calls to publish took, by result.',
    BUCKETS,
    ['result'],
  );
  const unpublishes = metrics.counter(
    'vouchsafe_csi_unpublishes_total',
    'Calls to take a volume away, by result: ok, or an error code.',
    ['result'],
  );
  return {
    published(result, durationMs) {
      publishes.add({ result });
      seconds.observe(durationMs / 1000, { result });
    },
    unpublished: (result) => unpublishes.add({ result }),
  };
}

type State = 'starting' | 'ready' | 'degraded';
const STATES: readonly State[] = ['starting', 'ready', 'degraded'];

/** Makes the function that brings the gauges up to date; it is called at each scrape. */
export function createVolumesRecorder(metrics: Metrics, volumes: Volumes): () => void {
  const count = metrics.gauge(
    'vouchsafe_csi_volumes',
    'Volumes on this node, by state: starting, ready, or degraded (the last good files stay).',
    ['state'],
  );
  const leases = metrics.gauge('vouchsafe_csi_leases', 'Leases that volumes of this node hold.');
  const age = metrics.gauge(
    'vouchsafe_csi_file_age_seconds',
    'Seconds since a file was last known to be right; of several files of that name in a pod the oldest.',
    ['namespace', 'pod', 'file'],
  );
  let known = new Map<string, Ageing>();
  return () => {
    const counts = { starting: 0, ready: 0, degraded: 0 };
    const ages = new Map<string, Ageing>();
    let leaseCount = 0;
    for (const { spec, status, kept, fileAges } of volumes.all) {
      counts[stateOf(status?.phase, kept.record)] += 1;
      leaseCount += status?.secrets.filter(({ lease }) => lease).length ?? 0;
      for (const [name, seconds] of fileAges) {
        const labels = { namespace: spec.pod.namespace, pod: spec.pod.name, file: name };
        const key = Object.values(labels).join('/');
        const ageSeconds = Math.max(seconds, ages.get(key)?.ageSeconds ?? 0);
        ages.set(key, { labels, ageSeconds });
      }
    }
    for (const state of STATES) count.set(counts[state], { state });
    leases.set(leaseCount);
    replace(age, known, ages);
    known = ages;
  };
}

interface Ageing {
  readonly labels: Readonly<Record<string, string>>;
  readonly ageSeconds: number;
}

function replace(
  gauge: Gauge,
  known: ReadonlyMap<string, Ageing>,
  now: ReadonlyMap<string, Ageing>,
): void {
  for (const [key, { labels }] of known) if (!now.has(key)) gauge.remove(labels);
  for (const { labels, ageSeconds } of now.values()) gauge.set(ageSeconds, labels);
}

/** Files that are there are the last good ones as long as no engine says that they are right. */
function stateOf(phase: string | undefined, { isPublished }: VolumeRecord): State {
  if (phase === 'ready') return 'ready';
  return isPublished ? 'degraded' : 'starting';
}
