/** Where the time from a pod's creation to its application's first line went. */

/** The parts of a start, in their order. Without the agent only the second and the last exist. */
export const PHASES = {
  admission: 'admission',
  node: 'scheduler, sandbox and volumes',
  process: "start of the agent's process",
  identity: 'identity',
  login: 'login',
  reads: 'reads and files',
  exit: "end of the init container's process",
  kubelet: 'waiting for the kubelet',
  application: "start of the application's process",
} as const;

/** A part of a start. */
export type Phase = keyof typeof PHASES;

/** What was seen of one start; times are milliseconds since the epoch. */
export interface Moments {
  readonly createdMs: number;
  /** How long the API server waited for the webhook. */
  readonly admissionMs: number;
  /** First container of the agent; undefined for a pod without it. */
  readonly agent: AgentMoments | undefined;
  readonly applicationMs: number;
  readonly calledMs: number;
}

/** The agent's part of {@link Moments}. */
export interface AgentMoments {
  readonly startedMs: number;
  /** End of an init container. */
  readonly endedMs: number | undefined;
  /** Its log at level `debug`. */
  readonly log: string;
}

/** Splits a start; the parts add up to the whole. */
export function phasesOf(moments: Moments): Readonly<Partial<Record<Phase, number>>> {
  const { createdMs, admissionMs, agent, applicationMs, calledMs } = moments;
  const application = calledMs - applicationMs;
  if (agent === undefined) {
    return { admission: admissionMs, node: applicationMs - createdMs - admissionMs, application };
  }
  const { startedMs, endedMs } = agent;
  const marks = marksOf(agent.log);
  return {
    admission: admissionMs,
    node: startedMs - createdMs - admissionMs,
    process: marks.ready - startedMs,
    identity: marks.login - marks.ready,
    login: marks.loggedIn - marks.login,
    reads: marks.delivered - marks.loggedIn,
    ...(endedMs !== undefined && { exit: endedMs - marks.delivered }),
    kubelet: applicationMs - (endedMs ?? marks.delivered),
    application,
  };
}

interface Line {
  readonly time: string;
  readonly message: string;
  readonly operation?: string;
  readonly seconds?: number;
}

interface Marks {
  readonly ready: number;
  readonly login: number;
  readonly loggedIn: number;
  readonly delivered: number;
}

function marksOf(log: string): Marks {
  const lines = log.trim().split('\n');
  const all = lines.map((line) => JSON.parse(line) as Line); // as the agent writes them
  const find = (message: string, operation?: string): { line: Line; atMs: number } => {
    const line = all.find((one) => one.message === message && one.operation === operation);
    if (line === undefined) throw new Error(`the agent's log has no line "${message}":\n${log}`);
    return { line, atMs: Date.parse(line.time) };
  };
  const asked = find('vault request', 'login');
  return {
    ready: find('agent starts').atMs,
    login: asked.atMs - (asked.line.seconds ?? 0) * 1000,
    loggedIn: asked.atMs,
    delivered: find('files delivered').atMs,
  };
}
