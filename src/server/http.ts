/**
 * The few things that both listeners do with HTTP. Ring: server.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { VouchsafeError } from '../core/index.ts';

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
  /** Whether the rest of the request was left unread, which ends the connection. */
  readonly isCut?: boolean;
}

/** Answers one request; a rejection becomes a 500 without a word. */
export type Route = (request: IncomingMessage) => Promise<Answer> | Answer;

/** Bounds of every connection. */
export function bound(server: Server): void {
  server.headersTimeout = 5000;
  server.requestTimeout = 10_000;
  // Longer than the API server's own 90 s, so that it never sends into a connection that we close.
  server.keepAliveTimeout = 120_000;
  server.maxConnections = 512;
}

/** Where a server listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Listens on `host:port`; resolves to the address bound. An empty host is every address. */
export async function listen(server: Server, address: string): Promise<Address> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const listening = Promise.withResolvers<undefined>();
  const onError = (cause: Error): void => {
    const message = `cannot listen on ${address}`;
    listening.reject(new VouchsafeError('ERR_SERVER_LISTEN', message, { cause }));
  };
  server.once('error', onError);
  server.listen({ host, port: Number(address.slice(colon + 1)) }, () =>
    listening.resolve(undefined),
  );
  await listening.promise;
  server.off('error', onError);
  const { address: ip, port } = server.address() as AddressInfo; // a TCP server that listens has one
  return { host: ip, port };
}

/** Sends an answer. A server that is ending tells the client to come back on another connection. */
export function send(response: ServerResponse, answer: Answer, isEnding: boolean): void {
  response.writeHead(answer.status, {
    'content-type': answer.type ?? 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(answer.body),
    ...((isEnding || answer.isCut === true) && { connection: 'close' }),
  });
  response.end(answer.body); // as text, which goes out in one piece with its headers
}

/**
 * The body of a request.
 *
 * @throws VouchsafeError `ERR_ADMISSION_TOO_LARGE`; the client's own errors as they come.
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(maxBytes: number): VouchsafeError {
  return new VouchsafeError('ERR_ADMISSION_TOO_LARGE', `more than ${maxBytes} bytes`);
}

/** The path of a request without its query. */
export function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] ?? '/';
}
