/** From the creation of a pod to the first line of its application, by turns, and where the time goes. */
import { setTimeout as delay } from 'node:timers/promises';
import { AGENT_CONTAINER, INIT_CONTAINER } from '../../../src/admission/index.ts';
import { containerStatus, FOREVER, type Space } from '../../cluster/parts/suite.ts';
import type { Pod } from '../../cluster/parts/objects.ts';
import { summarize, type Summary } from '../statistics.ts';
import { admissions } from './admission.ts';
import { startCalls, type Calls } from './calls.ts';
import { watchContainers, type Lives } from './containers.ts';
import { difference } from './histogram.ts';
import { phasesOf, PHASES, type AgentMoments, type Phase } from './phases.ts';
import { benchPod, FILES, type Marked, type Tenant } from './pods.ts';

const DIRECTORY = '/vault/secrets';
const KUBELET_PERIOD_MS = 1000;

/** A kind of pod. One without annotations is left as it is. */
export interface Kind extends Marked {
  readonly name: string;
  readonly space: Space;
  /** The container of ours whose log has where the time went, if one does. */
  readonly agent?: string;
}

/** Pods of a tenant whose files the CSI driver brings. */
export function published(name: string, { space, asks }: Tenant): Kind {
  return { name, space, asked: asks({ mode: 'csi' }) };
}

/** Pods of a tenant in a mode of the agent. */
export function injected(name: string, { space, asks }: Tenant, mode: 'native' | 'pair'): Kind {
  const agent = mode === 'pair' ? INIT_CONTAINER : AGENT_CONTAINER;
  return { name, space, asked: asks({ mode, 'log-level': 'debug' }), agent };
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
  const { space, asked } = kind;
  pods += 1;
  const name = `start-${pods}`;
  const pod = benchPod(name, kind, `${calls.line(name, DIRECTORY)}; ${FOREVER}`);
  const before = await admissions();
  // The kubelet looks once a second; one start must not begin where the one before it was seen to end.
  await delay(Math.random() * KUBELET_PERIOD_MS);
  const createdMs = Date.now();
  await space.create(pod);
  const { atMs: calledMs, files } = await calls.from(name);
  const wanted = Object.keys(asked).length === 0 ? 0 : FILES;
  if (files !== wanted) throw new Error(`${kind.name}: ${files} files instead of ${wanted}`);
  // More than one call where others have changed what the webhook had added.
  const { sum } = difference(await admissions(), before);
  const ready = await space.ready(name);
  const container = kind.agent;
  const agent =
    container === undefined ? undefined : await agentMoments(space, ready, { container, lives });
  const isTold = wanted === 0 || agent !== undefined;
  const applicationMs = startedMs(ready, 'app', lives);
  const moments = { createdMs, admissionMs: sum * 1000, applicationMs, calledMs };
  const phases = isTold ? phasesOf({ ...moments, agent }) : {};
  await space.remove(name);
  return { totalMs: calledMs - createdMs, phases };
}

async function agentMoments(
  space: Space,
  pod: Pod,
  { container, lives }: { readonly container: string; readonly lives: Lives },
): Promise<AgentMoments> {
  const { containerID = '' } = containerStatus(pod, container);
  return {
    startedMs: startedMs(pod, container, lives),
    endedMs: lives.of(containerID).endedMs,
    log: await space.logs(pod.metadata.name ?? '', container),
  };
}

function startedMs(pod: Pod, container: string, lives: Lives): number {
  const { containerID = '' } = containerStatus(pod, container);
  const { startedMs: started } = lives.of(containerID);
  if (started === undefined) throw new Error(`containerd has not reported container ${container}`);
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
