/**
 * The mounter on its socket. Only the engine shares the directory of the socket; what comes from there is
 * taken for what an attacker wrote who has taken the engine over.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import {
  lineReader,
  MAX_LINE,
  parseRequest,
  type MounterAnswer,
  type MounterRequest,
} from './messages.ts';
import type { MounterPort } from './mounter.ts';

/** One engine, and its successor that starts while it ends. */
const MAX_CONNECTIONS = 4;
/** Requests of one connection under way. The engine has no more than four. */
const MAX_PENDING = 64;
/** Answers that are not read, in bytes. */
const MAX_UNREAD_BYTES = 64 * 1024;
/** Root alone may connect: what a socket of mode 0600 lacks. */
const SOCKET_UMASK = 0o177;

/** What {@link serveMounter} needs. */
export interface MounterServerOptions {
  /** Path of the socket; what a predecessor left there is replaced. */
  readonly socket: string;
  readonly mounter: MounterPort;
  readonly logger: Logger;
}

/**
 * Serves until `signal` aborts, and then until whoever is connected has gone: an engine that ends may still have to
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

/** Whoever breaks a rule is cut off: the engine never does. */
function serveConnection(socket: Socket, mounter: MounterPort, logger: Logger): void {
  let pending = 0;
  const cut = (reason: string): void => {
    if (socket.destroyed) return;
    logger.warn('a connection is cut', { reason });
    socket.destroy();
  };
  const answer = (message: MounterAnswer): void => {
    pending -= 1;
    if (socket.destroyed) return;
    socket.write(`${JSON.stringify(message)}\n`);
    if (socket.writableLength > MAX_UNREAD_BYTES) cut('answers are not read');
  };
  const take = lineReader((line) => {
    if (socket.destroyed) return;
    const request = parseRequest(line);
    pending += 1;
    if (request === undefined) cut('not a request');
    else if (pending > MAX_PENDING) cut('too many requests at once');
    else void answered(request, mounter, logger).then(answer);
  });
  socket.setEncoding('utf8');
  socket.on('error', () => undefined); // its end is all there is to know
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
    if (request.kind === 'mount') await mounter.mount(request, NEVER);
    else await mounter.unmount(request);
    logger.debug(kind, rest);
    return { id, error: null };
  } catch (caught) {
    const error = toVouchsafeError(caught);
    logger.warn(`cannot ${kind}`, { pod, volume, error });
    return { id, error: error.message.slice(0, MAX_LINE / 2) };
  }
}

const NEVER = new AbortController().signal;
