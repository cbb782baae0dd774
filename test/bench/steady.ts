/** Agents that have nothing more to do than to keep files fresh. All of them run side by side. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Job, StartAgent, StartedAgent } from './agents.ts';
import { summarize, type Measurement } from './statistics.ts';
import type { World } from './world.ts';

/** Numbers of secrets that memory is measured with. */
const SIZES = [1, 10, 100];

/** By then both have let go of what they needed at the start. */
const SETTLE_MS = 10_000;

/** The interval that is short enough for some refreshes to fall into the window, in seconds. */
const SHORT_S = 5;

/**
 * CPU time of a window of usual and of frequent refreshes, and memory at its end. Of the usual refreshes a window of
 * five minutes has one: `vault agent` reads all secrets together, Vouchsafe spreads them.
 */
export async function measureSteady(
  world: World,
  agents: { readonly ours: StartAgent; readonly theirs: StartAgent },
  windowS: number,
): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const both = async (job: Job): Promise<Pair> => {
    const pair = [
      stack.use(await agents.ours(world, job)),
      stack.use(await agents.theirs(world, job)),
    ] as const;
    for (const agent of pair) await agent.delivered();
    return pair;
  };
  const idle: { size: number; pair: Pair }[] = [];
  for (const size of SIZES) idle.push({ size, pair: await both({ secrets: size, refresh: '5m' }) });
  const busy = await both({ secrets: 10, refresh: `${SHORT_S}s` });
  await delay(SETTLE_MS);
  const calm = idle.find(({ size }) => size === 10)?.pair ?? busy;
  const before = { calm: cpuOf(calm), busy: cpuOf(busy) };
  await delay(windowS * 1000);
  const calmMs = difference(cpuOf(calm), before.calm);
  const busyMs = difference(cpuOf(busy), before.busy);
  const refreshes = Math.floor(windowS / SHORT_S);
  const rows = idle.flatMap(({ size, pair }) => memoryOf(`${size} secrets`, pair, size === 10));
  return [
    ...rows,
    ...memoryOf(`10 secrets, after ${refreshes} refreshes`, busy, false),
    { ...row(`CPU of ${windowS} s, refresh 5 m`, 'ms', calmMs), target: { ratio: 1 } },
    row(`CPU of ${windowS} s, refresh ${SHORT_S} s`, 'ms', busyMs),
  ];
}

type Pair = readonly [ours: StartedAgent, theirs: StartedAgent];
type Two = readonly [ours: number, theirs: number];

function memoryOf(what: string, pair: Pair, hasTarget: boolean): Measurement[] {
  const [ours, theirs] = pair.map(({ process }) => process.memory());
  if (ours === undefined || theirs === undefined) return [];
  return [
    {
      ...row(`resident, ${what}`, 'MiB', [ours.rss, theirs.rss]),
      ...(hasTarget && { target: { ratio: 0.35 } }),
    },
    {
      ...row(`private dirty, ${what}`, 'MiB', [ours.privateDirty, theirs.privateDirty]),
      ...(hasTarget && { target: { ratio: 0.8 } }),
    },
  ];
}

function cpuOf([ours, theirs]: Pair): Two {
  return [ours.process.cpuMs(), theirs.process.cpuMs()];
}

function difference(after: Two, before: Two): Two {
  return [after[0] - before[0], after[1] - before[1]];
}

function row(
  name: string,
  unit: string,
  [ours = NaN, theirs = NaN]: readonly number[],
): Measurement {
  return { name, unit, ours: summarize([ours]), theirs: summarize([theirs]) };
}
