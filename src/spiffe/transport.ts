/**
 * gRPC calls with `@grpc/grpc-js`, which the CSI driver (`src/csi/grpc.ts`) uses for its server.
 */
import type { Client, ClientReadableStream, Metadata } from '@grpc/grpc-js';
import { VouchsafeError, type Clock } from '../core/index.ts';
import type { WorkloadApiAddress } from './address.ts';
import {
  Connections,
  SERVER_REJECTED,
  type ChannelSecurity,
  type ConnectionHandle,
  type TlsSettings,
} from './connections.ts';
import { fromGrpc, nothingIssued } from './grpc-errors.ts';
import { CallScope } from './call-scope.ts';
import type { Protocol } from './proto/protocol.ts';

/** SPIRE's Kubernetes attestor polls the kubelet for up to 30 s inside a call. */
const DEFAULT_TIMEOUT_MS = 45_000;

/** Enough for the bundles of very many federated trust domains. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

const CHANNEL_OPTIONS = {
  // Strict HTTP/2 servers reject the socket's path as `:authority`.
  'grpc.default_authority': 'localhost',
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  // The endpoint is on this node: no proxy from the environment, no service configuration from DNS.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  // Callers retry. gRPC only has to reconnect to a restarted agent before the next attempt.
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2000,
  // Closing a transport closes its connection, even if other transports use the same agent.
  'grpc.use_local_subchannel_pool': 1,
} as const;

/** Without it the server name would be an IP address, which TLS does not allow; SPIFFE does not use names. */
const TLS_OPTIONS = { 'grpc.ssl_target_name_override': 'localhost' } as const;

/** Sends and receives encoded messages of the methods `M`. */
export interface Transport<M extends string> {
  /** One request, one response. Rejects with a `VouchsafeError` by status, or with `signal.reason`. */
  unary(method: M, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /** One request, responses until the stream ends; the end is also an error (`ERR_SPIFFE_UNAVAILABLE`). */
  stream(
    method: M,
    request: Uint8Array,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, never, undefined>;
  /** The error for a list without SVIDs. */
  nothingIssued(method: M): VouchsafeError;
  /** Ends all calls and the connection. */
  close(): void;
}

export interface TransportOptions {
  readonly clock: Clock;
  /** Longest wait for the first response of a call, including the connection. Default 45 s. */
  readonly timeoutMs?: number;
  /** Default none: plain text; the server identifies the caller by its process. */
  readonly security?: ChannelSecurity;
}

/** A transport that connects at its first call. */
export function createTransport<M extends string>(
  address: WorkloadApiAddress,
  protocol: Protocol<M>,
  options: TransportOptions,
): Transport<M> {
  return new GrpcTransport(address, protocol, options);
}

interface Connection {
  readonly client: Client;
  readonly metadata: Metadata;
}

class GrpcTransport<M extends string> implements Transport<M> {
  readonly #address: WorkloadApiAddress;
  readonly #protocol: Protocol<M>;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();
  readonly #connections: Connections<Connection>;

  constructor(
    address: WorkloadApiAddress,
    protocol: Protocol<M>,
    { clock, timeoutMs = DEFAULT_TIMEOUT_MS, security }: TransportOptions,
  ) {
    this.#address = address;
    this.#protocol = protocol;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#connections = new Connections(
      (tls) => connect(address.target, protocol, tls),
      ({ client }) => client.close(),
      security,
    );
  }

  async unary(method: M, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const scope = this.#scope(signal);
    try {
      const handle = await this.#acquire(scope);
      const { client, metadata } = handle.connection;
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
      const call = client.makeUnaryRequest(
        this.#path(method),
        toBuffer,
        asIs,
        request,
        metadata,
        (error, answer) => {
          if (answer === undefined) reject(error ?? new Error('neither error nor response'));
          else resolve(answer);
        },
      );
      scope.attachCall(call);
      return await promise;
    } catch (error) {
      throw this.#explain(error, method, scope);
    } finally {
      scope.release();
    }
  }

  async *stream(
    method: M,
    request: Uint8Array,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, never, undefined> {
    const scope = this.#scope(signal);
    try {
      const handle = await this.#acquire(scope);
      const { client, metadata } = handle.connection;
      const call: ClientReadableStream<Uint8Array> = client.makeServerStreamRequest(
        this.#path(method),
        toBuffer,
        asIs,
        request,
        metadata,
      );
      // A cancelled call emits an error after its reader has gone; without a listener it would end the process.
      call.on('error', () => undefined);
      scope.attachCall(call);
      try {
        for await (const message of call) {
          scope.clearDeadline();
          yield message as Uint8Array; // as returned by `asIs`
        }
      } finally {
        call.cancel();
      }
      throw unavailable(`${method} at ${this.#address.uri}: the server ended the stream`);
    } catch (error) {
      throw this.#explain(error, method, scope);
    } finally {
      scope.release();
    }
  }

  nothingIssued(method: M): VouchsafeError {
    return nothingIssued(method, this.#address.uri, this.#protocol.service);
  }

  close(): void {
    this.#closing.abort();
    this.#connections.close();
  }

  async #acquire(scope: CallScope): Promise<ConnectionHandle<Connection>> {
    if (this.#closing.signal.aborted) throw new TypeError('the client is closed');
    const handle = await this.#connections.acquire(scope.waiting);
    scope.attachConnection(handle);
    return handle;
  }

  #path(method: M): string {
    return `/${this.#protocol.service}/${method}`;
  }

  #scope(signal: AbortSignal): CallScope {
    return new CallScope(signal, this.#closing.signal, {
      clock: this.#clock,
      timeoutMs: this.#timeoutMs,
    });
  }

  /** The reason of the abort, or a Vouchsafe error. */
  #explain(error: unknown, method: M, scope: CallScope): unknown {
    if (scope.signal.aborted) return scope.signal.reason;
    if (error instanceof TypeError) return error;
    const where = `${method} at ${this.#address.uri}`;
    if (this.#closing.signal.aborted) return unavailable(`${where}: the client was closed`);
    if (error instanceof VouchsafeError) return error;
    if (scope.hasTimedOut) {
      return unavailable(`${where}: no response within ${this.#timeoutMs / 1000} s`);
    }
    if (scope.hasOutlivedConnection) {
      return unavailable(`${where}: the X.509-SVID of the connection has expired`);
    }
    if (scope.serverProblem !== undefined && String(error).includes(SERVER_REJECTED)) {
      return unavailable(`${where}: the server was rejected: ${scope.serverProblem}`);
    }
    return fromGrpc(error, method, this.#address.uri, this.#protocol.service);
  }
}

/** gRPC takes some 90 ms to load, so the first call loads it: agents without SPIFFE do not need it. */
async function connect(
  target: string,
  { securityHeader }: Protocol,
  tls: TlsSettings | undefined,
): Promise<Connection> {
  // The default export is complete everywhere; named exports are lost when a bundle wraps CommonJS.
  const { default: grpc } = await import('@grpc/grpc-js');
  const { Client, credentials, Metadata } = grpc;
  const metadata = new Metadata();
  if (securityHeader !== undefined) metadata.set(securityHeader.name, securityHeader.value);
  if (tls === undefined) {
    return { client: new Client(target, credentials.createInsecure(), CHANNEL_OPTIONS), metadata };
  }
  const { secureContext, checkServerIdentity } = tls;
  const secure = credentials.createFromSecureContext(secureContext, { checkServerIdentity });
  return { client: new Client(target, secure, { ...CHANNEL_OPTIONS, ...TLS_OPTIONS }), metadata };
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function asIs(bytes: Buffer): Uint8Array {
  return bytes;
}

function unavailable(message: string): VouchsafeError {
  return new VouchsafeError('ERR_SPIFFE_UNAVAILABLE', message);
}
