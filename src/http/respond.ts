/**
 * Answers requests within the limits of a listener.
 */
import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { toVouchsafeError, type Clock, type Logger } from '../core/index.ts';
import type { BodyBudget } from './body-budget.ts';
import type { Connections } from './connections.ts';
import { WRITE_MS } from './limits.ts';
import { drop, toHttpRequest, type HttpRequest, type Incoming } from './request.ts';

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Closes the connection after the answer, because the rest of the request was not read. Default: false. */
  readonly closesConnection?: boolean;
}

/** Answers one request. A rejection becomes a 500 without details; undefined means that the request was dropped. */
export type Handler = (request: HttpRequest) => Promise<Answer | undefined> | Answer | undefined;

export interface RespondOptions {
  readonly handler: Handler;
  readonly connections: Connections;
  readonly budget: BodyBudget;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether the listener is shutting down: clients are asked to open a new connection. */
  readonly isEnding: () => boolean;
}

type Response = ServerResponse | Http2ServerResponse;

/** Creates the handler of `request` events, for HTTP/1.1 and HTTP/2. */
export function createRequestListener(
  options: RespondOptions,
): (incoming: Incoming, response: Response) => void {
  const { handler, connections, budget, clock, logger, isEnding } = options;
  return (incoming, response) => {
    const share = budget.open(() => drop(incoming));
    let answered = (): void => undefined;
    const onComplete = (): void => {
      share.isWaiting = false;
      answered = connections.markBusy(incoming.socket);
    };
    // A request without a body is complete after its headers.
    if (incoming.method === 'GET' || incoming.method === 'HEAD') onComplete();
    let isOpen = true;
    const request = toHttpRequest(incoming, { clock, share, onComplete, isOpen: () => isOpen });
    response.on('error', () => undefined); // the caller has disconnected
    response.on('close', () => {
      isOpen = false;
      share.release();
      answered();
    });
    const answer = async (): Promise<Answer | undefined> => {
      try {
        return await handler(request);
      } catch (error) {
        if (!request.isOpen || isEnding()) return FAILED;
        logger.error('a request failed', { error: toVouchsafeError(error) });
        return FAILED;
      }
    };
    void answer().then((given) => {
      // An answer stays in memory, and in the budget, until it has been read.
      share.isWaiting = true;
      answered();
      if (!isOpen) return;
      const isKept = given !== undefined && share.resize(Buffer.byteLength(given.body));
      if (isKept) send(incoming, response, given, isEnding());
      else drop(incoming);
    });
  };
}

const FAILED: Answer = { status: 500, body: 'internal error\n', closesConnection: true };

function send(incoming: Incoming, response: Response, answer: Answer, isEnding: boolean): void {
  const isHttp2 = incoming.httpVersionMajor === 2;
  const isLast = isEnding || answer.closesConnection === true;
  const headers = {
    'content-type': answer.type ?? 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(answer.body),
    ...answer.headers,
    ...(isLast && !isHttp2 && { connection: 'close' }),
  };
  response.setTimeout(WRITE_MS, () => drop(incoming));
  if (answer.closesConnection === true && isHttp2) response.once('finish', () => drop(incoming));
  write(response, answer, headers);
  response.end(incoming.method === 'HEAD' ? '' : answer.body); // in one piece with its headers
}

function write(
  response: Response,
  { status }: Answer,
  headers: Readonly<Record<string, string | number>>,
): void {
  // The same call, but TypeScript cannot call the union of the two signatures.
  if ('stream' in response) response.writeHead(status, headers);
  else response.writeHead(status, headers);
}
