/** From the start of a process to ten files. */
import type { StartAgent } from './agents.ts';
import { summarize, type Measurement } from './statistics.ts';
import type { World } from './world.ts';

/** Turns that are not counted: what is read from disk for the first time, connections that Vault makes once. */
const WARM_UP = 1;

interface Start {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakRss: number;
}

/** Starts both by turns. */
export async function measureStarts(
  world: World,
  agents: { readonly ours: StartAgent; readonly theirs: StartAgent },
  runs: number,
): Promise<Measurement[]> {
  const ours: Start[] = [];
  const theirs: Start[] = [];
  for (let turn = -WARM_UP; turn < runs; turn += 1) {
    const pair = [
      await startOnce(world, agents.ours),
      await startOnce(world, agents.theirs),
    ] as const;
    if (turn < 0) continue;
    ours.push(pair[0]);
    theirs.push(pair[1]);
  }
  const row = (name: string, unit: string, pick: (start: Start) => number) => ({
    name,
    unit,
    ours: summarize(ours.map(pick)),
    theirs: summarize(theirs.map(pick)),
  });
  return [
    { ...row('start to ten files', 'ms', ({ wallMs }) => wallMs), target: { ratio: 1 } },
    row('start: CPU', 'ms', ({ cpuMs }) => cpuMs),
    row('start: peak resident', 'MiB', ({ peakRss }) => peakRss),
  ];
}

async function startOnce(world: World, start: StartAgent): Promise<Start> {
  await using agent = await start(world, { secrets: 10, refresh: '5m' });
  await agent.delivered();
  const wallMs = performance.now() - agent.startedMs;
  return { wallMs, cpuMs: agent.process.cpuMs(), peakRss: agent.process.peakRss() };
}
