/**
 * Serves the mounter on its socket. Only the engine shares the directory of the socket. Every request is treated as if it came
 * from an attacker who controls the engine.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import { NEVER_ABORTED } from '../async/index.ts';
import {
  lineReader,
  MAX_LINE,
  parseRequest,
  type MounterAnswer,
  type MounterRequest,
} from './messages.ts';
import type { MounterPort } from './mounter.ts';

/** One engine, and its successor, which starts while the first one ends. */
const MAX_CONNECTIONS = 4;
/** Requests in flight on one connection; the engine has at most four. */
const MAX_PENDING = 64;
/** Unread answers of one connection, in bytes. */
const MAX_UNREAD_BYTES = 64 * 1024;
/** Root alone may connect: what a socket of mode 0600 lacks. */
const SOCKET_UMASK = 0o177;

/** Settings of {@link serveMounter}. */
export interface MounterServerOptions {
  /** Path of the socket; an existing file is replaced. */
  readonly socket: string;
  readonly mounter: MounterPort;
  readonly logger: Logger;
}

/**
 * Serves until `signal` aborts, and then until existing connections close: an engine that ends may still have to
 * unmount.
 *
 * @throws VouchsafeError `ERR_SERVER_LISTEN`
 */
export async function serveMounter(
  { socket: path, mounter, logger }: MounterServerOptions,
  signal: AbortSignal,
  onListening: () => void = () => undefined,
): Promise<void> {
  const server = createServer((socket) => serveConnection(socket, mounter, logger));
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  logger.info('listening', { socket: path });
  onListening();
  const closed = once(server, 'close');
  const close = (): void => void server.close();
  if (signal.aborted) close();
  signal.addEventListener('abort', close, { once: true });
  await closed;
  signal.removeEventListener('abort', close);
}

async function listen(server: Server, path: string): Promise<void> {
  try {
    rmSync(path, { force: true });
    const listening = once(server, 'listening');
    // Not by chmod after it: what has that name by then may be a link that an attacker put there.
    const before = process.umask(SOCKET_UMASK);
    try {
      server.listen(path);
    } finally {
      process.umask(before);
    }
    await listening;
  } catch (cause) {
    server.close();
    throw new VouchsafeError('ERR_SERVER_LISTEN', `cannot listen on ${path}`, { cause });
  }
}

/** Closes the connection at the first breach of the protocol; the engine never breaks it. */
function serveConnection(socket: Socket, mounter: MounterPort, logger: Logger): void {
  let pending = 0;
  const cut = (reason: string): void => {
    if (socket.destroyed) return;
    logger.warn('closing a connection', { reason });
    socket.destroy();
  };
  const answer = (message: MounterAnswer): void => {
    pending -= 1;
    if (socket.destroyed) return;
    socket.write(`${JSON.stringify(message)}\n`);
    if (socket.writableLength > MAX_UNREAD_BYTES) cut('the peer does not read answers');
  };
  const take = lineReader((line) => {
    if (socket.destroyed) return;
    const request = parseRequest(line);
    pending += 1;
    if (request === undefined) cut('invalid request');
    else if (pending > MAX_PENDING) cut('too many requests at once');
    else void answered(request, mounter, logger).then(answer);
  });
  socket.setEncoding('utf8');
  socket.on('error', () => undefined); // nothing to do: the connection is closed
  socket.on('data', (text: string) => {
    if (!take(text)) cut(`a line of more than ${MAX_LINE} characters`);
  });
}

/** Never rejects. */
async function answered(
  request: MounterRequest,
  mounter: MounterPort,
  logger: Logger,
): Promise<MounterAnswer> {
  const { id, kind, ...rest } = request;
  const { pod, volume } = request;
  try {
    if (request.kind === 'mount') await mounter.mount(request, NEVER_ABORTED);
    else await mounter.unmount(request);
    logger.debug(kind, rest);
    return { id, error: null };
  } catch (caught) {
    const error = toVouchsafeError(caught);
    logger.warn(`cannot ${kind}`, { pod, volume, error });
    return { id, error: error.message.slice(0, MAX_LINE / 2) };
  }
}
