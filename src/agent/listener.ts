/**
 * The agent's one port: probes, metrics, status. Ring: agent. GET only, no bodies read, nothing secret.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { VouchsafeError, type Clock, type Logger } from '../core/index.ts';
import type { AgentStatus } from './status.ts';

/** How long `/startup` holds a probe that comes too early; below the kubelet's usual timeouts. */
const STARTUP_HOLD_MS = 900;

/** Begin of the addresses that are reasons. */
const WHY = '/startup/';
/** The kubelet cuts long messages off. */
const MAX_REASON = 400;

/** Most connections at once: a kubelet, a Prometheus and a person. */
const MAX_CONNECTIONS = 64;

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
  /** `host:port`; port 0 lets the system choose. */
  readonly listen: string;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly location?: string;
}

/**
 * Serves until `signal` aborts; calls `onListening` with the bound `host:port`.
 *
 * @throws VouchsafeError `ERR_SERVER_LISTEN`
 */
export async function serveAgent(
  parts: ListenerParts,
  signal: AbortSignal,
  onListening: (address: string) => void = () => undefined,
): Promise<void> {
  const server = createServer((request, response) => {
    void respond(parts, request, response, signal); // never rejects
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.headersTimeout = 5000;
  server.requestTimeout = 5000;
  const closed = Promise.withResolvers<undefined>();
  const { host, port } = splitAddress(parts.listen);
  server.on('error', (cause) => {
    const error = new VouchsafeError('ERR_SERVER_LISTEN', `cannot listen on ${parts.listen}`, {
      cause,
    });
    // A connection that cannot be accepted (no descriptors left) is no reason to stop refreshing files.
    if (server.listening) parts.logger.warn('connection was not accepted', { error });
    else closed.reject(error);
  });
  server.on('close', () => closed.resolve(undefined));
  server.listen({ host, port }, () => {
    const { port: bound } = server.address() as AddressInfo; // a TCP server that listens has one
    onListening(parts.listen.replace(/\d+$/, String(bound)));
  });
  const stop = (): void => {
    server.close();
    server.closeAllConnections();
  };
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await closed.promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function respond(
  parts: ListenerParts,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  let answer: Answer;
  try {
    answer = await route(parts, request, signal);
  } catch (error) {
    if (!signal.aborted) parts.logger.error('request failed', { error });
    answer = text(500, 'internal error');
  }
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(answer.location !== undefined && { location: answer.location }),
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

async function route(
  parts: ListenerParts,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET');
  const { agent } = parts;
  switch (request.url?.split('?', 1)[0]) {
    case '/healthz':
      return text(200, 'ok');
    case '/readyz':
      return agent.isDelivered ? text(200, 'ok') : text(503, whyNot(agent.status()));
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
        body: `${JSON.stringify(agent.status(), undefined, 2)}\n`,
      };
    default:
      return elsewhere(request);
  }
}

function elsewhere(request: IncomingMessage): Answer {
  if (request.url?.startsWith(WHY)) request.destroy();
  return text(404, 'try /healthz, /readyz, /startup, /metrics or /status');
}

/** A probe that comes a moment too early is held instead of sent away: it saves the pod a probe period. */
async function holdStartup(parts: ListenerParts, signal: AbortSignal): Promise<void> {
  if (parts.agent.isStarted) return;
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  const waits = [parts.agent.delivered(either), parts.clock.sleep(STARTUP_HOLD_MS, either)];
  // A start that failed or was stopped is told by the answer.
  await Promise.race(waits).catch(() => undefined);
  enough.abort();
  await Promise.allSettled(waits);
}

/**
 * The kubelet shows nobody the body of a probe's answer, but the address of a request that broke. So it is sent on
 * to an address that is the reason, where the connection ends: `kubectl describe` then says why the pod waits.
 *
 * @see https://issue.k8s.io/99425
 */
function notStarted(request: IncomingMessage, status: AgentStatus): Answer {
  const answer = text(503, whyNot(status));
  if (!request.headers['user-agent']?.startsWith('kube-probe/')) return answer;
  const [error] = status.errors;
  const reason = error === undefined ? status.phase : `${error.code}:${error.message}`;
  const words = reason.slice(0, MAX_REASON).replaceAll(/[^\w:/-]+/g, '-');
  return { ...answer, status: 307, location: `${WHY}${words}` };
}

function whyNot(status: AgentStatus): string {
  const reasons = status.errors.map(({ code, message }) => `${code}: ${message}`);
  return [`not ready: ${status.phase}`, ...reasons].join('\n');
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${body}\n` };
}

function splitAddress(listen: string): { host: string; port: number } {
  const colon = listen.lastIndexOf(':');
  const host = listen.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host, port: Number(listen.slice(colon + 1)) };
}
