/** What an admission takes as the API server sees it, by its own metrics. */
import { api, FOREVER } from '../../cluster/parts/suite.ts';
import { difference, parseHistogram, quantile, type Histogram } from './histogram.ts';
import { benchPod, type Tenant } from './pods.ts';

const METRIC = 'apiserver_admission_webhook_admission_duration_seconds';
const WEBHOOK = 'name="pods.vouchsafe.dev"';

/** Latencies of a call in milliseconds; quantiles are interpolated in the API server's buckets, the mean is exact. */
export interface Admissions {
  readonly parallel: number;
  /** Calls of the webhook for a pod: a second one where somebody has changed it since. */
  readonly callsPerPod: number;
  readonly p50: number;
  readonly p99: number;
  readonly mean: number;
}

/** All admissions by the webhook so far. */
export async function admissions(): Promise<Histogram> {
  return parseHistogram(await api.text('/metrics'), METRIC, WEBHOOK);
}

/** Asks for pods, so many at a time. They are dry runs: nothing but admission has to keep up. */
export async function measureAdmissions(
  { space, asks }: Tenant,
  parallel: number,
  count: number,
): Promise<Admissions> {
  const pod = benchPod('asked', { asked: asks() }, FOREVER);
  const before = await admissions();
  let asked = 0;
  const askAgain = async (): Promise<void> => {
    while (asked < count) {
      asked += 1;
      await api.create(`${space.pods}?dryRun=All`, pod);
    }
  };
  await Promise.all(Array.from({ length: parallel }, askAgain));
  const seen = difference(await admissions(), before);
  if (seen.count < count) throw new Error(`${seen.count} admissions of ${count} were counted`);
  return {
    parallel,
    callsPerPod: seen.count / count,
    mean: (seen.sum / seen.count) * 1000,
    p50: quantile(seen, 0.5) * 1000,
    p99: quantile(seen, 0.99) * 1000,
  };
}
