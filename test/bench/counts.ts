/** Logins and credentials of one pod start, counted in Vault's audit log. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Job, StartAgent } from './agents.ts';
import { summarize, type Measurement } from './statistics.ts';
import { LEASED_SECRET, type World } from './world.ts';

/** A sidecar that wants to log in or to read has done so by then. */
const SETTLE_MS = 2000;

const JOB: Job = { secrets: 0, isLeased: true, refresh: '5m' };

/** One pod start in each mode; `vault agent` has its init container and its sidecar in all of them. */
export async function countRequests(
  world: World,
  agents: { readonly ours: StartAgent; readonly theirs: StartAgent },
): Promise<Measurement[]> {
  const theirs = await counted(world, async () => {
    await initialize(world, agents.theirs);
    await stay(world, agents.theirs);
  });
  const modes = {
    native: () => stay(world, agents.ours),
    pair: async () => {
      const directory = await world.directory();
      await initialize(world, agents.ours, directory);
      await stay(world, agents.ours, directory);
    },
    init: () => initialize(world, agents.ours),
  };
  const rows: Measurement[] = [];
  for (const [mode, run] of Object.entries(modes)) {
    const ours = await counted(world, run);
    for (const what of ['logins', 'credentials'] as const) {
      rows.push({
        name: `${what} of a pod start, ${mode}`,
        unit: '',
        ours: summarize([ours[what]]),
        theirs: summarize([theirs[what]]),
        target: { exactly: 1 },
      });
    }
  }
  return rows;
}

async function initialize(world: World, start: StartAgent, directory?: string): Promise<void> {
  await using agent = await start(world, { ...JOB, ...at(directory), isOnce: true });
  await agent.delivered();
  if ((await agent.process.exit()) !== 0) throw new Error(agent.process.output);
}

async function stay(world: World, start: StartAgent, directory?: string): Promise<void> {
  await using agent = await start(world, { ...JOB, ...at(directory) });
  await agent.delivered();
  await delay(SETTLE_MS);
}

function at(directory: string | undefined): Pick<Job, 'directory'> {
  return directory === undefined ? {} : { directory };
}

interface Counts {
  readonly logins: number;
  readonly credentials: number;
}

async function counted({ vault }: World, run: () => Promise<void>): Promise<Counts> {
  const count = async (): Promise<Counts> => ({
    logins: await vault.count('auth/jwt/login'),
    credentials: await vault.count(LEASED_SECRET, 'read'),
  });
  const before = await count();
  await run();
  const after = await count();
  return {
    logins: after.logins - before.logins,
    credentials: after.credentials - before.credentials,
  };
}
