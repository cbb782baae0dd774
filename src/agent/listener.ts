/**
 * The agent's one port: probes, metrics, status. It accepts only GET and reads no bodies; answers hold no secrets, and
 * no names for callers outside the pod.
 */
import type { Clock, Logger, Metrics } from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import { serveHttp, type Answer, type Handler, type HttpRequest } from '../http/index.ts';
import { briefStatus, isFromInside, visibleErrors } from './disclosure.ts';
import type { AgentStatus } from './status.ts';

/** How long `/startup` holds an early probe, in milliseconds; below the kubelet's default timeout of 1 s. */
const STARTUP_HOLD_MS = 900;

/** Prefix of the paths that spell out a reason. */
const REASON_PATH = '/startup/';
/** The kubelet truncates long messages. */
const MAX_REASON = 400;

/** Options of {@link serveAgent}. */
export interface ListenerParts {
  readonly agent: {
    readonly isDelivered: boolean;
    readonly isStarted: boolean;
    status(): AgentStatus;
    delivered(signal: AbortSignal): Promise<void>;
  };
  /** The metrics in the text format of Prometheus. */
  readonly expose: (status: AgentStatus) => Promise<string>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Counts evicted connections. Default: not counted. */
  readonly metrics?: Metrics;
  /** `host:port`; port 0 lets the system choose. */
  readonly listen: string;
  /** Addresses of the node: connections of its kubelet are not limited. */
  readonly nodeAddresses?: readonly string[];
}

/**
 * Serves until `signal` aborts; calls `onListening` with the bound `host:port`.
 *
 * @throws VouchsafeError `ERR_SERVER_LISTEN`
 */
export async function serveAgent(
  parts: ListenerParts,
  signal: AbortSignal,
  onListening?: (address: string) => void,
): Promise<void> {
  const handler: Handler = async (request) => {
    const answer = await route(parts, request, signal);
    return answer && { ...answer, headers: { ...HEADERS, ...answer.headers } };
  };
  await serveHttp({ ...parts, handler, stopping: signal }, signal, onListening);
}

const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

async function route(
  parts: ListenerParts,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET');
  const { agent } = parts;
  switch (request.path) {
    case '/healthz':
      return text(200, 'ok');
    case '/readyz':
      return agent.isDelivered ? text(200, 'ok') : text(503, whyNot(request, agent.status()));
    case '/startup':
      await holdStartup(parts, signal);
      return agent.isStarted ? text(200, 'ok') : notStarted(request, agent.status());
    case '/metrics':
      return {
        status: 200,
        type: 'text/plain; version=0.0.4; charset=utf-8',
        body: await parts.expose(agent.status()),
      };
    case '/status':
      return {
        status: 200,
        type: 'application/json',
        body: `${JSON.stringify(shown(request, agent.status()), undefined, 2)}\n`,
      };
    default:
      return elsewhere(request);
  }
}

function shown(request: HttpRequest, status: AgentStatus): object {
  return isFromInside(request) ? status : briefStatus(status);
}

function elsewhere({ path }: HttpRequest): Answer | undefined {
  if (path.startsWith(REASON_PATH)) return undefined;
  return text(404, 'try /healthz, /readyz, /startup, /metrics or /status');
}

/** Holds a probe that is slightly early instead of failing it: that saves the pod a probe period. */
async function holdStartup(parts: ListenerParts, signal: AbortSignal): Promise<void> {
  const { agent, clock } = parts;
  if (agent.isStarted) return;
  const deadline = { clock, ms: STARTUP_HOLD_MS, signal };
  // The answer shows whether the start failed or was stopped.
  await withDeadline(deadline, (inner) => agent.delivered(inner)).catch(() => undefined);
}

/**
 * The kubelet does not show the body of a failed probe, but it does show the URL of a request that broke. So it is
 * redirected to a path that spells out the reason, where the connection is closed: `kubectl describe` shows it.
 *
 * @see https://issue.k8s.io/99425
 */
function notStarted(request: HttpRequest, status: AgentStatus): Answer {
  const answer = text(503, whyNot(request, status));
  if (!request.headers['user-agent']?.startsWith('kube-probe/')) return answer;
  const [error] = visibleErrors(status, isFromInside(request));
  const reason = error === undefined ? status.phase : `${error.code}:${error.message}`;
  const words = reason.slice(0, MAX_REASON).replaceAll(/[^\w:/-]+/g, '-');
  return { ...answer, status: 307, headers: { location: `${REASON_PATH}${words}` } };
}

function whyNot(request: HttpRequest, status: AgentStatus): string {
  const reasons = visibleErrors(status, isFromInside(request)).map(
    ({ code, message }) => `${code}: ${message}`,
  );
  return [`not ready: ${status.phase}`, ...reasons].join('\n');
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${body}\n` };
}
