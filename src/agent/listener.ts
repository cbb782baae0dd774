/**
 * The agent's one port: probes, metrics, status. GET only, no bodies read, nothing secret, and to who is
 * outside of the pod no name.
 */
import type { Clock, Logger, Metrics } from '../core/index.ts';
import { withDeadline } from '../async/index.ts';
import { serveHttp, type Answer, type Handler, type HttpRequest } from '../http/index.ts';
import { briefStatus, isFromInside, visibleErrors } from './disclosure.ts';
import type { AgentStatus } from './status.ts';

/** How long `/startup` holds a probe that comes too early; below the kubelet's usual timeouts. */
const STARTUP_HOLD_MS = 900;

/** Begin of the addresses that are reasons. */
const WHY = '/startup/';
/** The kubelet cuts long messages off. */
const MAX_REASON = 400;

/** What the listener shows. */
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
  /** Where it is counted what happens to connections. Default: nowhere. */
  readonly metrics?: Metrics;
  /** `host:port`; port 0 lets the system choose. */
  readonly listen: string;
  /** Addresses of the node, whose kubelet may ask as often as it likes. */
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
  if (path.startsWith(WHY)) return undefined;
  return text(404, 'try /healthz, /readyz, /startup, /metrics or /status');
}

/** A probe that comes a moment too early is held instead of sent away: it saves the pod a probe period. */
async function holdStartup(parts: ListenerParts, signal: AbortSignal): Promise<void> {
  const { agent, clock } = parts;
  if (agent.isStarted) return;
  const deadline = { clock, ms: STARTUP_HOLD_MS, signal };
  // The answer shows whether the start failed or was stopped.
  await withDeadline(deadline, (inner) => agent.delivered(inner)).catch(() => undefined);
}

/**
 * The kubelet shows nobody the body of a probe's answer, but the address of a request that broke. So it is sent on
 * to an address that is the reason, where the connection ends: `kubectl describe` then says why the pod waits.
 *
 * @see https://issue.k8s.io/99425
 */
function notStarted(request: HttpRequest, status: AgentStatus): Answer {
  const answer = text(503, whyNot(request, status));
  if (!request.headers['user-agent']?.startsWith('kube-probe/')) return answer;
  const [error] = visibleErrors(status, isFromInside(request));
  const reason = error === undefined ? status.phase : `${error.code}:${error.message}`;
  const words = reason.slice(0, MAX_REASON).replaceAll(/[^\w:/-]+/g, '-');
  return { ...answer, status: 307, headers: { location: `${WHY}${words}` } };
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
