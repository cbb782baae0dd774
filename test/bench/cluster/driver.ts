/** What the CSI driver of a node costs with many volumes: memory, processor time at rest, and time of a publish. */
import { setTimeout as delay } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { driverMetrics, driverPods } from '../../cluster/parts/driver.ts';
import { api, cgroupOf, eventually, FOREVER, isReady } from '../../cluster/parts/suite.ts';
import type { List, Pod } from '../../cluster/parts/objects.ts';
import { difference, parseHistogram, quantile, type Histogram } from './histogram.ts';
import { benchPod, type Tenant } from './pods.ts';

const PATIENCE_MS = 420_000;
const SETTLE_MS = 15_000;
const REST_MS = 30_000;

/** The driver with so many volumes of three secrets. */
export interface DriverCost {
  readonly volumes: number;
  /** Resident memory of the driver's process that is no page of a file, in MiB. */
  readonly anonymousMiB: number;
  /** Of one core, while nothing is published. */
  readonly cpuShare: number;
  /** Of the publishes since the measurement before, in milliseconds. */
  readonly publishP50: number;
  readonly publishP99: number;
}

/** Starts pods until there are as many, and measures at each step; then takes them away. */
export async function measureDriver(
  { space, asks }: Tenant,
  steps: readonly number[],
): Promise<readonly DriverCost[]> {
  const costs: DriverCost[] = [];
  const marked = { asked: asks({ mode: 'csi', refresh: '5m' }) };
  let there = 0;
  let before = await publishes();
  for (const volumes of steps) {
    const names = Array.from({ length: volumes - there }, (_, index) => `many-${there + index}`);
    await Promise.all(names.map((name) => space.create(benchPod(name, marked, FOREVER))));
    there = volumes;
    await eventually(`${volumes} pods are ready`, () => areReady(space.pods, volumes), PATIENCE_MS);
    await delay(SETTLE_MS);
    const after = await publishes();
    const seen = difference(after, before);
    before = after;
    costs.push({
      volumes,
      ...(await measureProcess()),
      publishP50: quantile(seen, 0.5) * 1000,
      publishP99: quantile(seen, 0.99) * 1000,
    });
  }
  for (let index = 0; index < there; index += 1) await api.remove(`${space.pods}/many-${index}`);
  await eventually('the pods are gone', () => areReady(space.pods, 0), PATIENCE_MS);
  return costs;
}

async function areReady(pods: string, count: number): Promise<true | undefined> {
  const { items } = await api.get<List<Pod>>(pods);
  return items.length === count && items.every(isReady) ? true : undefined;
}

/** Those that brought files; a driver that was asked again has nothing to do. */
async function publishes(): Promise<Histogram> {
  const text = await driverMetrics();
  return parseHistogram(text, 'vouchsafe_csi_publish_duration_seconds', 'result="new"');
}

async function measureProcess(): Promise<Pick<DriverCost, 'anonymousMiB' | 'cpuShare'>> {
  const [pod] = (await driverPods()).items;
  if (pod === undefined) throw new Error('there is no driver');
  const usage = join(cgroupOf(pod, 'driver', 'cpuacct'), 'cpuacct.usage');
  const [pid = ''] = readFileSync(join(cgroupOf(pod, 'driver', 'pids'), 'cgroup.procs'), 'utf8')
    .trim()
    .split('\n');
  const spent = (): number => Number(readFileSync(usage, 'utf8')) / 1e6;
  const [startMs, startSpent] = [performance.now(), spent()];
  await delay(REST_MS);
  const cpuShare = (spent() - startSpent) / (performance.now() - startMs);
  const [, kib] = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return { anonymousMiB: Number(kib) / 1024, cpuShare };
}
