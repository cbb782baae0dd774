/**
 * One request, over HTTP/1.1 or HTTP/2.
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

/** A request of Node. */
export type Incoming = IncomingMessage | Http2ServerRequest;

/** A request as routes see it. */
export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The caller: an IPv4 address, `::1`, or the /64 network of an IPv6 address; empty after it has disconnected. */
  readonly peer: string;
  /** Whether the caller presented a certificate of the client CA; false where the listener has none. */
  readonly isAuthenticated: boolean;
  /** Whether the caller still waits for the answer. */
  readonly isOpen: boolean;
  /**
   * Reads the whole body; may be called once.
   *
   * @throws VouchsafeError `ERR_ADMISSION_TOO_LARGE`, `ERR_SERVER_BUSY`; errors of the connection are passed on.
   */
  readBody(maxBytes: number): Promise<Buffer>;
  /** Ends the connection, or the HTTP/2 stream, without an answer. */
  drop(): void;
}

/** The request's share of the limits of the listener. */
export interface RequestBounds {
  readonly clock: Clock;
  readonly share: BodyShare;
  /** Whether the caller still waits for the answer. */
  readonly isOpen: () => boolean;
  /** Called when the whole request has arrived: from then on it is being answered. */
  readonly onComplete: () => void;
}

/** Wraps a request of Node. */
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

/** Ends the connection of a request; with HTTP/2 only its stream. */
export function drop(incoming: Incoming): void {
  if (incoming instanceof Http2ServerRequest) incoming.stream.close();
  else incoming.socket.destroy();
}

/** Also checks for the certificate: in Node a session that is resumed without one is `authorized`. */
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
  const onGone = (): void => done.reject(new Error('the caller disconnected'));
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
    // The rest of a rejected body is not read: the connection is closed after the answer.
    incoming.off('data', onData).off('end', onEnd).off('close', onGone).pause();
  }
}

function tooLarge(maxBytes: number): VouchsafeError {
  return new VouchsafeError('ERR_ADMISSION_TOO_LARGE', `the body is larger than ${maxBytes} bytes`);
}

function busy(): VouchsafeError {
  return new VouchsafeError('ERR_SERVER_BUSY', 'too many concurrent requests; try again');
}
