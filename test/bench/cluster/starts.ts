/** From the creation of a pod to the first line of its application, by turns, and where the time goes. */
import { AGENT_CONTAINER, INIT_CONTAINER } from '../../../src/admission/index.ts';
import { containerStatus, FOREVER } from '../../cluster/parts/suite.ts';
import type { Pod } from '../../cluster/parts/objects.ts';
import { summarize, type Summary } from '../statistics.ts';
import { admissions } from './admission.ts';
import { startCalls, type Calls } from './calls.ts';
import { watchContainers, type Lives } from './containers.ts';
import { difference } from './histogram.ts';
import { phasesOf, PHASES, type AgentMoments, type Phase } from './phases.ts';
import { benchPod, FILES, type Tenant } from './pods.ts';

const DIRECTORY = '/vault/secrets';

/** A kind of pod, from which the others differ by the agent. */
export interface Kind {
  readonly name: string;
  readonly tenant: Tenant;
  /** undefined for a pod without the agent. */
  readonly mode: 'native' | 'pair' | undefined;
}

/** What the starts of a kind took, in milliseconds. */
export interface Starts {
  readonly name: string;
  readonly total: Summary;
  readonly phases: Readonly<Partial<Record<Phase, Summary>>>;
}

interface Start {
  readonly totalMs: number;
  readonly phases: Readonly<Partial<Record<Phase, number>>>;
}

/** Starts each kind in each round; one round before them fills caches and is not counted. */
export async function measureStarts(
  kinds: readonly Kind[],
  runs: number,
): Promise<readonly Starts[]> {
  await using calls = await startCalls();
  await using lives = await watchContainers();
  const seen = new Map<Kind, Start[]>(kinds.map((kind) => [kind, []]));
  for (let round = 0; round <= runs; round += 1) {
    for (const kind of kinds) {
      const start = await measureStart(kind, { calls, lives });
      if (round > 0) seen.get(kind)?.push(start);
    }
  }
  return [...seen].map(([{ name }, starts]) => ({
    name,
    total: summarize(starts.map(({ totalMs }) => totalMs)),
    phases: summarizePhases(starts),
  }));
}

interface Watching {
  readonly calls: Calls;
  readonly lives: Lives;
}

let pods = 0;

async function measureStart(kind: Kind, { calls, lives }: Watching): Promise<Start> {
  const { tenant, mode } = kind;
  const { space } = tenant;
  pods += 1;
  const name = `start-${pods}`;
  const settings = mode === undefined ? {} : { ...tenant.settings, mode, 'log-level': 'debug' };
  const pod = benchPod(name, settings, `${calls.line(name, DIRECTORY)}; ${FOREVER}`);
  const before = await admissions();
  const createdMs = Date.now();
  await space.create(pod);
  const { atMs: calledMs, files } = await calls.from(name);
  const wanted = mode === undefined ? 0 : FILES;
  if (files !== wanted) throw new Error(`${kind.name}: ${files} files instead of ${wanted}`);
  // The API server asks again where its own plug-ins have changed what the webhook had added.
  const { sum } = difference(await admissions(), before);
  const ready = await space.ready(name);
  const phases = phasesOf({
    ...{ createdMs, admissionMs: sum * 1000 },
    agent: mode === undefined ? undefined : await agentMoments(kind, ready, lives),
    applicationMs: startedMs(ready, 'app', lives),
    calledMs,
  });
  await space.remove(name);
  return { totalMs: calledMs - createdMs, phases };
}

async function agentMoments(kind: Kind, pod: Pod, lives: Lives): Promise<AgentMoments> {
  const container = kind.mode === 'pair' ? INIT_CONTAINER : AGENT_CONTAINER;
  const { containerID = '' } = containerStatus(pod, container);
  return {
    startedMs: startedMs(pod, container, lives),
    endedMs: lives.of(containerID).endedMs,
    log: await kind.tenant.space.logs(pod.metadata.name ?? '', container),
  };
}

function startedMs(pod: Pod, container: string, lives: Lives): number {
  const { containerID = '' } = containerStatus(pod, container);
  const { startedMs: started } = lives.of(containerID);
  if (started === undefined) throw new Error(`containerd has not told of container ${container}`);
  return started;
}

function summarizePhases(starts: readonly Start[]): Starts['phases'] {
  const names = Object.keys(PHASES) as Phase[]; // its keys
  return Object.fromEntries(
    names.flatMap((name) => {
      const values = starts.flatMap(({ phases }) => phases[name] ?? []);
      return values.length === 0 ? [] : [[name, summarize(values)]];
    }),
  );
}
