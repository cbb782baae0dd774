/**
 * One request, whichever version of HTTP it came by.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Http2ServerRequest } from 'node:http2';
import { TLSSocket } from 'node:tls';
import { VouchsafeError, type Clock } from '../core/index.ts';
import { DEADLINE, withDeadline } from '../async/index.ts';
import { peerOf } from './address.ts';
import { BodyBuffer } from './body-buffer.ts';
import type { BodyShare } from './body-budget.ts';
import { BODY_MS } from './limits.ts';

/** A request as Node gives it. */
export type Incoming = IncomingMessage | Http2ServerRequest;

/** What a route sees of a request. */
export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Who calls: an IPv4 address, `::1`, or the network of an IPv6 address; empty where nobody is there any more. */
  readonly peer: string;
  /** Whether the caller proved by a certificate who it is; only where the listener asks for one. */
  readonly isAuthenticated: boolean;
  /** Whether somebody still waits for the answer. */
  readonly isOpen: boolean;
  /**
   * The whole body; to be read once.
   *
   * @throws VouchsafeError `ERR_ADMISSION_TOO_LARGE`, `ERR_SERVER_BUSY`; the peer's own errors as they come.
   */
  readBody(maxBytes: number): Promise<Buffer>;
  /** Ends the connection, or the one stream of it, without an answer. */
  drop(): void;
}

/** What a request has of the listener's bounds. */
export interface RequestBounds {
  readonly clock: Clock;
  readonly share: BodyShare;
  /** Whether somebody still waits for the answer. */
  readonly isOpen: () => boolean;
  /** Called when the peer has sent everything: from then on the request is being answered. */
  readonly onComplete: () => void;
}

/** Makes the view of a request. */
export function toHttpRequest(incoming: Incoming, bounds: RequestBounds): HttpRequest {
  return {
    method: incoming.method ?? '',
    path: (incoming.url ?? '/').split('?', 1)[0] ?? '/',
    headers: incoming.headers,
    peer: peerOf(incoming.socket.remoteAddress),
    get isAuthenticated() {
      return isAuthenticated(incoming);
    },
    get isOpen() {
      return bounds.isOpen();
    },
    readBody: (maxBytes) => readBody(incoming, maxBytes, bounds),
    drop: () => drop(incoming),
  };
}

/** Ends what a request came by, and no more: other streams of a connection go on. */
export function drop(incoming: Incoming): void {
  if (incoming instanceof Http2ServerRequest) incoming.stream.close();
  else incoming.socket.destroy();
}

/**
 * Asks for the certificate as well: a session that is resumed without one is `authorized` in Node.
 */
function isAuthenticated({ socket }: Incoming): boolean {
  const { authorized, getPeerX509Certificate } = socket as Partial<TLSSocket>; // plain HTTP has neither
  return authorized === true && getPeerX509Certificate?.call(socket) !== undefined;
}

async function readBody(
  incoming: Incoming,
  maxBytes: number,
  { clock, share, onComplete }: RequestBounds,
): Promise<Buffer> {
  if (Number(incoming.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const done = Promise.withResolvers<undefined>();
  const body = new BodyBuffer();
  const onData = (chunk: Buffer): void => {
    if (body.size + chunk.length > maxBytes) {
      done.reject(tooLarge(maxBytes));
      return;
    }
    body.append(chunk);
    if (!share.resize(body.capacity)) done.reject(busy());
  };
  const onEnd = (): void => done.resolve(undefined);
  const onGone = (): void => done.reject(new Error('the peer went away'));
  incoming.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
  try {
    await withDeadline({ clock, ms: BODY_MS }, () => done.promise);
    onComplete();
    return body.take();
  } catch (error) {
    if (error === DEADLINE) drop(incoming);
    throw error;
  } finally {
    body.clear();
    // What is left of a body that is refused is not read: the connection ends with the answer.
    incoming.off('data', onData).off('end', onEnd).off('close', onGone).pause();
  }
}

function tooLarge(maxBytes: number): VouchsafeError {
  return new VouchsafeError('ERR_ADMISSION_TOO_LARGE', `more than ${maxBytes} bytes`);
}

function busy(): VouchsafeError {
  return new VouchsafeError('ERR_SERVER_BUSY', 'too many requests at once; try again');
}
