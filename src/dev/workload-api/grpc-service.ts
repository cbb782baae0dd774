/**
 * The gRPC side of the development servers: sockets, calls and status codes.
 * It knows nothing about SVIDs; responses come from a {@link Backend}.
 */
import { chmod, rm } from 'node:fs/promises';
import {
  Server,
  ServerCredentials,
  status,
  type Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import type { Protocol } from '../../spiffe/index.ts';
import { listenTls, type TlsListener, type TlsOptions } from './tls-listener.ts';

/** An error with a gRPC status code. */
export class StatusError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** An open stream of the server. */
export interface OpenStream<M extends string> {
  readonly method: M;
  readonly request: Uint8Array;
  send(message: Uint8Array): void;
  /** Ends the stream: normally, or with an error. */
  end(error?: StatusError): void;
}

/** Handles the calls. */
interface Backend<M extends string> {
  /** Called first for every call; may reject it. */
  onCall(method: M): void;
  /** The response of a unary call. Rejects with a {@link StatusError}. */
  answer(method: M, request: Uint8Array): Promise<Uint8Array>;
  onStream(stream: OpenStream<M>): void;
  onStreamClosed(stream: OpenStream<M>): void;
}

export interface ServiceOptions<M extends string> {
  readonly protocol: Protocol<M>;
  readonly backend: Backend<M>;
  /** Default: plain text. */
  readonly tls?: TlsOptions | undefined;
}

/** A listening service. */
export interface GrpcService {
  /** Address for clients. */
  readonly address: string;
  /** New connections get the newest certificate. */
  renewCertificate(): void;
  close(): Promise<void>;
}

/** Listens on `unix:///path` (a stale socket there is replaced) or `tcp://IP:port`. */
export async function listen<M extends string>(
  address: string,
  options: ServiceOptions<M>,
): Promise<GrpcService> {
  const server = new Server();
  server.addService(serviceDefinition(options.protocol), handlers(options));
  const { protocol, host, pathname } = new URL(address);
  const isUnix = protocol === 'unix:';
  if (isUnix) await rm(pathname, { force: true });
  const { port, listener } = await bind(server, isUnix ? pathname : host, options.tls);
  // Anyone on the node may connect: the agent identifies callers by their process or their certificate.
  if (isUnix) await chmod(pathname, 0o777);
  return {
    address: isUnix ? `unix://${pathname}` : `tcp://${host.replace(/:\d+$/, '')}:${port}`,
    renewCertificate: () => listener?.renewCertificate(),
    async close() {
      await listener?.close();
      const closed = Promise.withResolvers<undefined>();
      server.tryShutdown(() => closed.resolve(undefined));
      server.forceShutdown();
      await closed.promise;
    },
  };
}

/** Listens on a socket's path or `IP:port`. */
async function bind(
  server: Server,
  target: string,
  tls: TlsOptions | undefined,
): Promise<{ readonly port: number; readonly listener?: TlsListener }> {
  if (tls !== undefined) {
    // Injected connections are already decrypted.
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = await listenTls(target, tls, (socket) => injector.injectConnection(socket));
    return { port: listener.port, listener };
  }
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const name = target.startsWith('/') ? `unix:${target}` : target;
  server.bindAsync(name, ServerCredentials.createInsecure(), (error, port) => {
    if (error === null) resolve(port);
    else reject(error);
  });
  return { port: await promise };
}

function serviceDefinition({ service, methods }: Protocol): Parameters<Server['addService']>[0] {
  const raw = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
  const entries = Object.entries(methods).map(([name, { isStream }]) => [
    name,
    {
      path: `/${service}/${name}`,
      requestStream: false,
      responseStream: isStream,
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    },
  ]);
  return Object.fromEntries(entries) as Parameters<Server['addService']>[0]; // entries are untyped
}

type Call = ServerUnaryCall<Uint8Array, Uint8Array>;
type Stream = ServerWritableStream<Uint8Array, Uint8Array>;

function handlers<M extends string>(
  options: ServiceOptions<M>,
): Parameters<Server['addService']>[1] {
  const { methods } = options.protocol;
  const result: Parameters<Server['addService']>[1] = {};
  for (const name of Object.keys(methods)) {
    const method = name as M; // a key of the methods
    result[name] = methods[method].isStream
      ? (call: Stream) => serveStream(options, method, call)
      : (call: Call, callback: sendUnaryData<Uint8Array>) => {
          serveUnary(options, method, call).then(
            (message) => callback(null, message),
            (error: unknown) => callback(toStatus(error)),
          );
        };
  }
  return result;
}

async function serveUnary<M extends string>(
  { backend, protocol }: ServiceOptions<M>,
  method: M,
  call: Call,
): Promise<Uint8Array> {
  backend.onCall(method);
  requireSecurityHeader(protocol, call.metadata);
  return await backend.answer(method, call.request);
}

function serveStream<M extends string>(
  { backend, protocol }: ServiceOptions<M>,
  method: M,
  call: Stream,
): void {
  const stream: OpenStream<M> = {
    method,
    request: call.request,
    send: (message) => void call.write(message), // bounded by the deadline of the client
    end: (failure) => {
      if (failure === undefined) call.end();
      else call.emit('error', toStatus(failure)); // as grpc-js expects it
    },
  };
  call.on('close', () => backend.onStreamClosed(stream));
  call.on('cancelled', () => backend.onStreamClosed(stream));
  try {
    backend.onCall(method);
    requireSecurityHeader(protocol, call.metadata);
    backend.onStream(stream);
  } catch (error) {
    call.emit('error', toStatus(error));
  }
}

/** Exactly one value, as SPIRE requires; none if the protocol has no header. */
function requireSecurityHeader({ securityHeader }: Protocol, metadata: Metadata): void {
  if (securityHeader === undefined) return;
  const values = metadata.get(securityHeader.name);
  if (values.length !== 1 || values[0] !== securityHeader.value) {
    throw new StatusError(status.INVALID_ARGUMENT, 'security header missing from request');
  }
}

function toStatus(error: unknown): {
  code: number;
  details: string;
  name: string;
  message: string;
} {
  const failure =
    error instanceof StatusError ? error : new StatusError(status.INTERNAL, 'internal error');
  return { code: failure.code, details: failure.message, name: 'Error', message: failure.message };
}
