/** The CSI driver of a node: a publish, fifty at once, memory by volumes, and processor time while nothing happens. */
import { setTimeout as delay } from 'node:timers/promises';
import { BenchNode } from './node.ts';
import type { Command, Memory } from './process.ts';
import { quantile, summarize, type Measurement, type Target } from './statistics.ts';

/** Volumes that memory is measured with. */
const SIZES = [10, 100, 200] as const;

/** So many are published at once, the others one after the other. */
const AT_ONCE = 50;

/** What a publish or a burst needed is given back by then, as far as it ever is. */
const SETTLE_MS = 10_000;

/** A kubelet looks at each volume about so often. */
const LOOK_MS = 60_000;

interface Seen {
  readonly singleMs: number[];
  readonly burstMs: number[];
  readonly cpuMs: number[];
  readonly memory: Memory[];
}

/** Publishes up to 200 volumes of three secrets, then watches the driver for `windowS` seconds. */
export async function measureDriver(
  image: Command,
  cwd: string,
  windowS: number,
): Promise<Measurement[]> {
  await using node = await BenchNode.start(image, cwd);
  const seen: Seen = { singleMs: [], burstMs: [], cpuMs: [], memory: [] };
  for (const size of SIZES) {
    // The first ones are the driver's warming up as well: they count for its memory alone.
    await fill(node, size, size === SIZES[0] ? undefined : seen);
    await delay(SETTLE_MS);
    seen.memory.push(node.driver.memory());
  }
  const mounterMiB = node.mounter.memory().privateDirty;
  const restMs = await rest(node, windowS);
  return [
    ...report(seen, restMs / (windowS * 10), windowS),
    row('private dirty of the mounter', 'MiB', mounterMiB),
  ];
}

async function fill(node: BenchNode, size: number, seen: Seen | undefined): Promise<void> {
  const atOnce = seen === undefined ? 0 : AT_ONCE;
  while (node.volumes < size - atOnce) {
    const publish = await node.addPod();
    const before = node.cpuMs();
    const tookMs = await publish();
    seen?.singleMs.push(tookMs);
    seen?.cpuMs.push(node.cpuMs() - before);
  }
  const publishes: (() => Promise<number>)[] = [];
  while (node.volumes < size) publishes.push(await node.addPod());
  const tookMs = await Promise.all(publishes.map((publish) => publish()));
  seen?.burstMs.push(...tookMs);
}

/** Looks at all volumes as the kubelet does, evenly spread; gives the processor time of the driver. */
async function rest(node: BenchNode, windowS: number): Promise<number> {
  const [before, startMs] = [node.cpuMs(), performance.now()];
  const everyMs = LOOK_MS / node.volumes;
  for (let turn = 0; turn * everyMs < windowS * 1000; turn += 1) {
    await delay(Math.max(0, startMs + turn * everyMs - performance.now()));
    await node.look(turn % node.volumes);
  }
  return node.cpuMs() - before;
}

function report({ singleMs, burstMs, cpuMs, memory }: Seen, share: number, windowS: number) {
  const [least, , most] = SIZES;
  const growth = (pick: (memory: Memory) => number): number => {
    const [few, many] = [memory[0], memory[2]].map((one) => (one === undefined ? NaN : pick(one)));
    return ((many ?? NaN) - (few ?? NaN)) / (most - least);
  };
  return [
    row('publish, p50', 'ms', quantile(singleMs, 0.5)),
    row('publish, p99', 'ms', quantile(singleMs, 0.99)),
    row(`publish, ${AT_ONCE} at once, p99`, 'ms', quantile(burstMs, 0.99), { most: 1000 }),
    row('CPU of a publish', 'ms', cpuMs),
    ...SIZES.flatMap((size, index) => [
      row(`resident, ${size} volumes`, 'MiB', memory[index]?.rss ?? NaN),
      row(`private dirty, ${size} volumes`, 'MiB', memory[index]?.privateDirty ?? NaN),
    ]),
    row(
      'private dirty, a further volume',
      'MiB',
      growth(({ privateDirty }) => privateDirty),
      {
        most: 0.2,
      },
    ),
    row(`at rest, ${most} volumes, ${windowS} s`, '% of a core', share, { most: 2 }),
  ];
}

function row(
  name: string,
  unit: string,
  found: number | readonly number[],
  target?: Target,
): Measurement {
  const ours = summarize([found].flat());
  return { name: `CSI driver: ${name}`, unit, ours, ...(target && { target }) };
}
