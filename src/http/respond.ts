/**
 * From a request to its answer, within the bounds of a listener.
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
  /** Whether the rest of the request was left unread, which ends the connection. */
  readonly closesConnection?: boolean;
}

/** Answers one request; a rejection becomes a 500 without a word. Undefined is for a request that was dropped. */
export type Handler = (request: HttpRequest) => Promise<Answer | undefined> | Answer | undefined;

/** What answering needs. */
export interface RespondOptions {
  readonly handler: Handler;
  readonly connections: Connections;
  readonly budget: BodyBudget;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether the listener is ending: clients are told to come back on another connection. */
  readonly isEnding: () => boolean;
}

type Response = ServerResponse | Http2ServerResponse;

/** Makes the listener of `request` events, of HTTP/1.1 and of HTTP/2. */
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
    // A request without a body has come with its headers.
    if (incoming.method === 'GET' || incoming.method === 'HEAD') onComplete();
    let isOpen = true;
    const request = toHttpRequest(incoming, { clock, share, onComplete, isOpen: () => isOpen });
    response.on('error', () => undefined); // a peer that is gone
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
      // An answer that is not fetched stays in memory, and is counted there until it is.
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
  // The same call, but TypeScript sees two functions that have nothing to do with each other.
  if ('stream' in response) response.writeHead(status, headers);
  else response.writeHead(status, headers);
}
