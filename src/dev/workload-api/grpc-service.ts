/**
 * The gRPC side of the development Workload API: sockets, calls and status codes. Ring: dev.
 * It knows nothing of SVIDs; answers come from a {@link Backend}.
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
import { METHODS, SECURITY_HEADER, SERVICE, type Method } from '../../spiffe/index.ts';

/** A refusal by status code. */
export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** An open stream of the server. */
export interface OpenStream {
  readonly method: Method;
  send(message: Uint8Array): void;
  /** Ends the stream: normally, or with a refusal. */
  end(refusal?: Refusal): void;
}

/** Who answers the calls. */
export interface Backend {
  /** Every call comes by here first, and may be refused. */
  onCall(method: Method): void;
  /** The answer of a unary call. Rejects with a {@link Refusal}. */
  answer(method: Method, request: Uint8Array): Promise<Uint8Array>;
  onStream(stream: OpenStream): void;
  onStreamClosed(stream: OpenStream): void;
}

/** A listening service. */
export interface GrpcService {
  /** Address for clients. */
  readonly address: string;
  close(): Promise<void>;
}

/** Listens on `unix:///path` (a stale socket there is replaced) or `tcp://IP:port`. */
export async function listen(address: string, backend: Backend): Promise<GrpcService> {
  const server = new Server();
  server.addService(serviceDefinition(), handlers(backend));
  const { protocol, host, pathname } = new URL(address);
  const isUnix = protocol === 'unix:';
  if (isUnix) await rm(pathname, { force: true });
  const port = await bind(server, isUnix ? `unix:${pathname}` : host);
  // Anyone on the node may connect: the agent tells callers apart by their process.
  if (isUnix) await chmod(pathname, 0o777);
  return {
    address: isUnix ? `unix://${pathname}` : `tcp://${host.replace(/:\d+$/, '')}:${port}`,
    async close() {
      const closed = Promise.withResolvers<undefined>();
      server.tryShutdown(() => closed.resolve(undefined));
      server.forceShutdown();
      await closed.promise;
    },
  };
}

function bind(server: Server, target: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync(target, ServerCredentials.createInsecure(), (error, port) => {
    if (error === null) resolve(port);
    else reject(error);
  });
  return promise;
}

function serviceDefinition(): Parameters<Server['addService']>[0] {
  const raw = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
  const entries = Object.entries(METHODS).map(([name, { isStream }]) => [
    name,
    {
      path: `/${SERVICE}/${name}`,
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

function handlers(backend: Backend): Parameters<Server['addService']>[1] {
  const result: Parameters<Server['addService']>[1] = {};
  for (const [name, { isStream }] of Object.entries(METHODS)) {
    const method = name as Method; // a key of METHODS
    result[name] = isStream
      ? (call: Stream) => serveStream(backend, method, call)
      : (call: Call, callback: sendUnaryData<Uint8Array>) => {
          serveUnary(backend, method, call).then(
            (message) => callback(null, message),
            (error: unknown) => callback(toStatus(error)),
          );
        };
  }
  return result;
}

async function serveUnary(backend: Backend, method: Method, call: Call): Promise<Uint8Array> {
  backend.onCall(method);
  requireSecurityHeader(call.metadata);
  return await backend.answer(method, call.request);
}

function serveStream(backend: Backend, method: Method, call: Stream): void {
  const stream: OpenStream = {
    method,
    send: (message) => void call.write(message), // the client's flow control is bounded by its patience
    end: (refusal) => {
      if (refusal === undefined) call.end();
      else call.emit('error', toStatus(refusal)); // the way that grpc-js wants it
    },
  };
  call.on('close', () => backend.onStreamClosed(stream));
  call.on('cancelled', () => backend.onStreamClosed(stream));
  try {
    backend.onCall(method);
    requireSecurityHeader(call.metadata);
    backend.onStream(stream);
  } catch (error) {
    call.emit('error', toStatus(error));
  }
}

/** Exactly one value equal to `true`, as SPIRE demands. */
function requireSecurityHeader(metadata: Metadata): void {
  const values = metadata.get(SECURITY_HEADER.name);
  if (values.length !== 1 || values[0] !== SECURITY_HEADER.value) {
    throw new Refusal(status.INVALID_ARGUMENT, 'security header missing from request');
  }
}

function toStatus(error: unknown): {
  code: number;
  details: string;
  name: string;
  message: string;
} {
  const refusal = error instanceof Refusal ? error : new Refusal(status.INTERNAL, 'internal error');
  return { code: refusal.code, details: refusal.message, name: 'Error', message: refusal.message };
}
