/**
 * The driver's metrics. Labels are closed sets, namespaces of pods that are on this node now, and with
 * `csi.metrics.perPod` those pods and their files.
 */
import type { Gauge, Labels, Metrics } from '../core/index.ts';
import type { VolumeRecord } from './records.ts';
import type { Resource, Volumes } from './volumes.ts';

/** In seconds: from a mere mount, 5 ms, to the longest wait of a call. */
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
    'Calls to publish a volume, by result: new, known (published before), or an error code.',
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
    'Calls to unpublish a volume, by result: ok, or an error code.',
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

/**
 * Makes the function that updates the gauges of what each namespace holds. There are never more namespaces than volumes on
 * the node.
 */
function createSharesRecorder(metrics: Metrics, volumes: Volumes): () => void {
  const gauges: Readonly<Record<Resource, Gauge>> = {
    volumes: metrics.gauge(
      'vouchsafe_csi_namespace_volumes',
      'Volumes of a namespace, including those whose token and leases are not revoked yet.',
      ['namespace'],
    ),
    files: metrics.gauge(
      'vouchsafe_csi_namespace_file_bytes',
      'Memory that files, values and settings of a namespace may use, each file twice.',
      ['namespace'],
    ),
    logins: metrics.gauge('vouchsafe_csi_namespace_logins', 'Logins of a namespace in flight.', [
      'namespace',
    ]),
    requests: metrics.gauge(
      'vouchsafe_csi_namespace_vault_requests',
      'Requests of a namespace to Vault in flight.',
      ['namespace'],
    ),
    revocations: metrics.gauge(
      'vouchsafe_csi_namespace_revocations_pending',
      'Removed volumes of a namespace whose token and leases are not revoked yet.',
      ['namespace'],
    ),
  };
  const known = new Map<Gauge, ReadonlySet<string>>();
  return () => {
    const { holders } = volumes;
    for (const [resource, gauge] of Object.entries(gauges) as [Resource, Gauge][]) {
      const held = holders[resource];
      for (const namespace of known.get(gauge) ?? []) {
        if (!held.has(namespace)) gauge.remove({ namespace });
      }
      for (const [namespace, units] of held) gauge.set(units, { namespace });
      known.set(gauge, new Set(held.keys()));
    }
  };
}

/**
 * Makes the function that updates the gauges; call it at each scrape. Every client that reaches the port can read them, so
 * pods and files are named only with `perPod`.
 */
export function createVolumesRecorder(
  metrics: Metrics,
  volumes: Volumes,
  perPod: boolean,
): () => void {
  const count = metrics.gauge(
    'vouchsafe_csi_volumes',
    'Volumes on this node, by state: starting, ready, or degraded (the last good files stay).',
    ['state'],
  );
  const leases = metrics.gauge('vouchsafe_csi_leases', 'Leases that volumes of this node hold.');
  const oldest = createAges(
    metrics.gauge(
      'vouchsafe_csi_oldest_file_age_seconds',
      'Seconds since the stalest file of a namespace was last known to be up to date.',
      ['namespace'],
    ),
  );
  const each = createAges(
    metrics.gauge(
      'vouchsafe_csi_file_age_seconds',
      'With csi.metrics.perPod: seconds since a file was last known to be up to date; for several files of that name in a pod the stalest.',
      ['namespace', 'pod', 'file'],
    ),
  );
  const recordShares = createSharesRecorder(metrics, volumes);
  return () => {
    recordShares();
    const counts = { starting: 0, ready: 0, degraded: 0 };
    let leaseCount = 0;
    for (const { spec, status, stored, fileAges } of volumes.all) {
      counts[stateOf(status?.phase, stored.record)] += 1;
      leaseCount += status?.secrets.filter(({ lease }) => lease).length ?? 0;
      const { namespace, name: pod } = spec.pod;
      for (const [file, seconds] of fileAges) {
        oldest.note({ namespace }, seconds);
        if (perPod) each.note({ namespace, pod, file }, seconds);
      }
    }
    for (const state of STATES) count.set(counts[state], { state });
    leases.set(leaseCount);
    oldest.show();
    each.show();
  };
}

/** The greatest age for each set of labels. */
interface Ages {
  note(labels: Labels, seconds: number): void;
  /** Sets the gauge to what was noted since the last call, and removes everything else. */
  show(): void;
}

interface Age {
  readonly labels: Labels;
  readonly seconds: number;
}

function createAges(gauge: Gauge): Ages {
  let [shown, noted] = [new Map<string, Age>(), new Map<string, Age>()];
  return {
    note(labels, seconds) {
      const key = Object.values(labels).join('/');
      noted.set(key, { labels, seconds: Math.max(seconds, noted.get(key)?.seconds ?? 0) });
    },
    show() {
      for (const [key, { labels }] of shown) if (!noted.has(key)) gauge.remove(labels);
      for (const { labels, seconds } of noted.values()) gauge.set(seconds, labels);
      shown = noted;
      noted = new Map();
    },
  };
}

/** Published files are the last good ones until an engine confirms that they are up to date. */
function stateOf(phase: string | undefined, { isPublished }: VolumeRecord): State {
  if (phase === 'ready') return 'ready';
  return isPublished ? 'degraded' : 'starting';
}
