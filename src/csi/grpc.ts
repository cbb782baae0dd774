/**
 * gRPC servers on Unix sockets; the only file of the driver that imports `@grpc/grpc-js`.
 */
import type {
  sendUnaryData,
  Server,
  ServerUnaryCall,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { chmod, lstat, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VouchsafeError, type Logger } from '../core/index.ts';
import type { CallType } from './proto/csi.ts';
import { GRPC_STATUS, statusOf, type CallStatus } from './grpc-status.ts';

/** Largest request: a pod has at most 1.5 MiB of attributes, and its tokens come on top. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Calls at once: one for each volume of a very full node. */
const MAX_CALLS = 1024;

/** Only root may connect. */
const SOCKET_MODE = 0o600;

const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_concurrent_streams': MAX_CALLS,
} as const;

/** The path of a call and the function that answers it. */
export interface CallHandler {
  readonly path: string;
  /** `signal` aborts when the caller is gone. {@link statusOf} turns an error into the status of the call. */
  answer(request: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** Makes the handler of a call: decodes the request, encodes the response. */
export function handleCall<Request, Response>(
  type: CallType<Request, Response>,
  answer: (request: Request, signal: AbortSignal) => Promise<Response> | Response,
): CallHandler {
  return {
    path: type.path,
    async answer(bytes, signal) {
      let request: Request;
      try {
        request = type.request.decode(bytes);
      } catch (cause) {
        const text = `a request of ${type.path} cannot be decoded`;
        throw new VouchsafeError('ERR_CSI_REQUEST', text, { cause });
      }
      return type.response.encode(await answer(request, signal));
    },
  };
}

/** A listening server. */
export interface SocketServer {
  /** Accepts no more calls, waits for those in flight until `signal` aborts, then cancels them. Removes the socket. */
  close(signal: AbortSignal): Promise<void>;
}

/**
 * Listens on a Unix socket that only root can connect to. Replaces the socket of a predecessor.
 *
 * @throws VouchsafeError `ERR_SERVER_LISTEN`
 */
export async function serveSocket(
  path: string,
  calls: readonly CallHandler[],
  logger: Logger,
): Promise<SocketServer> {
  const { default: grpc } = await import('@grpc/grpc-js');
  const server = new grpc.Server(SERVER_OPTIONS);
  for (const [service, own] of byService(calls)) {
    server.addService(definitionOf(own), implementationOf(own, { service, logger }));
  }
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await removeStale(path);
    await bind(server, path, grpc.ServerCredentials.createInsecure());
    await chmod(path, SOCKET_MODE);
  } catch (cause) {
    server.forceShutdown();
    if (cause instanceof VouchsafeError) throw cause;
    throw new VouchsafeError('ERR_SERVER_LISTEN', `cannot listen on ${path}`, { cause });
  }
  return {
    async close(signal) {
      const closed = Promise.withResolvers<undefined>();
      const cut = (): void => server.forceShutdown();
      server.tryShutdown(() => closed.resolve(undefined));
      if (signal.aborted) cut();
      signal.addEventListener('abort', cut, { once: true });
      await closed.promise;
      signal.removeEventListener('abort', cut);
      await rm(path, { force: true });
    },
  };
}

/** An existing file that is not a socket belongs to somebody else, and is left alone. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (found.isSocket()) return rm(path, { force: true });
  throw new VouchsafeError('ERR_SERVER_LISTEN', `${path} exists and is not a socket`);
}

function bind(
  server: Server,
  path: string,
  credentials: Parameters<Server['bindAsync']>[1],
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.bindAsync(`unix:${path}`, credentials, (error) => {
    if (error === null) resolve(undefined);
    else reject(error);
  });
  return promise;
}

function byService(calls: readonly CallHandler[]): ReadonlyMap<string, readonly CallHandler[]> {
  return Map.groupBy(calls, ({ path }) => path.split('/', 2)[1] ?? '');
}

function nameOf({ path }: CallHandler): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function definitionOf(calls: readonly CallHandler[]): ServiceDefinition {
  const raw = (bytes: Uint8Array): Buffer =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const codecs = {
    requestStream: false,
    responseStream: false,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  };
  return Object.fromEntries(calls.map((call) => [nameOf(call), { path: call.path, ...codecs }]));
}

type Call = ServerUnaryCall<Uint8Array, Uint8Array>;

function implementationOf(
  calls: readonly CallHandler[],
  { service, logger }: { readonly service: string; readonly logger: Logger },
): UntypedServiceImplementation {
  const entries = calls.map((handler) => {
    const handle = (call: Call, callback: sendUnaryData<Uint8Array>): void => {
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort(new DOMException('the caller is gone', 'AbortError')));
      handler.answer(call.request, gone.signal).then(
        (bytes) => callback(null, bytes),
        (error: unknown) => {
          const status = statusOf(error);
          const fields = { service, call: nameOf(handler) };
          // Other errors are logged where they occur; a defect is seen only here.
          if (status.code === GRPC_STATUS.INTERNAL)
            logger.error('a call failed', { ...fields, error });
          callback(serviceError(status));
        },
      );
    };
    return [nameOf(handler), handle] as const;
  });
  return Object.fromEntries(entries);
}

function serviceError({ code, details }: CallStatus): {
  code: number;
  details: string;
  name: string;
  message: string;
} {
  return { code, details, name: 'Error', message: details };
}
