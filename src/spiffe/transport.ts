/**
 * Calls of the Workload API over gRPC; the only user of `@grpc/grpc-js` in the product. Ring: spiffe.
 */
import type { Client, ClientReadableStream, Metadata } from '@grpc/grpc-js';
import { VouchsafeError } from '../core/index.ts';
import type { WorkloadApiAddress } from './address.ts';
import { fromGrpc } from './grpc-errors.ts';
import { SECURITY_HEADER, SERVICE, type Method } from './proto/messages.ts';

/** SPIRE's Kubernetes attestor polls the kubelet for up to 30 s inside a call. */
const DEFAULT_TIMEOUT_MS = 45_000;

/** Room for the bundles of very many federated trust domains. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

const CHANNEL_OPTIONS = {
  // Strict HTTP/2 servers refuse the socket's path as `:authority`.
  'grpc.default_authority': 'localhost',
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  // The endpoint is on this node: no proxy from the environment, no service configuration from DNS.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  // Retries are ours. gRPC only has to find a restarted agent again before our next try.
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2000,
  // Closing a transport closes its connection, whoever else talks to the same agent.
  'grpc.use_local_subchannel_pool': 1,
} as const;

/** Sends and receives encoded messages. */
export interface Transport {
  /** One request, one answer. Rejects with a `VouchsafeError` by status, or with `signal.reason`. */
  unary(method: Method, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /** One request, answers until the stream ends; the end is an error too (`ERR_SPIFFE_UNAVAILABLE`). */
  stream(
    method: Method,
    request: Uint8Array,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, never, undefined>;
  /** Ends all calls and the connection. */
  close(): void;
}

/** A transport that connects at its first call. `timeoutMs` bounds the wait for the first answer of a call. */
export function createTransport(
  address: WorkloadApiAddress,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Transport {
  return new GrpcTransport(address, timeoutMs);
}

interface Connection {
  readonly client: Client;
  readonly metadata: Metadata;
}

class GrpcTransport implements Transport {
  readonly #address: WorkloadApiAddress;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();
  #connection: Promise<Connection> | undefined;

  constructor(address: WorkloadApiAddress, timeoutMs: number) {
    this.#address = address;
    this.#timeoutMs = timeoutMs;
  }

  async unary(method: Method, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { client, metadata } = await this.#connect(signal);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const call = client.makeUnaryRequest(
      pathOf(method),
      toBuffer,
      asIs,
      request,
      metadata,
      (error, answer) => {
        if (answer === undefined) reject(error ?? new Error('neither error nor answer'));
        else resolve(answer);
      },
    );
    const limits = this.#limit(call, signal);
    try {
      return await promise;
    } catch (error) {
      throw this.#explain(error, method, limits);
    } finally {
      limits.release();
    }
  }

  async *stream(
    method: Method,
    request: Uint8Array,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, never, undefined> {
    const { client, metadata } = await this.#connect(signal);
    const call: ClientReadableStream<Uint8Array> = client.makeServerStreamRequest(
      pathOf(method),
      toBuffer,
      asIs,
      request,
      metadata,
    );
    // A cancelled call reports an error after its reader has gone; unheard, it would end the process.
    call.on('error', () => undefined);
    const limits = this.#limit(call, signal);
    try {
      for await (const message of call) {
        limits.liftDeadline();
        yield message as Uint8Array; // what `asIs` returned
      }
      throw unavailable(`${method} at ${this.#address.uri}: the server ended the stream`);
    } catch (error) {
      throw this.#explain(error, method, limits);
    } finally {
      limits.release();
      call.cancel();
    }
  }

  close(): void {
    this.#closing.abort();
    void this.#connection?.then(
      ({ client }) => client.close(),
      () => undefined, // the calls were told
    );
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted();
    if (this.#closing.signal.aborted) throw new TypeError('the Workload API client is closed');
    this.#connection ??= connect(this.#address.target);
    return await this.#connection;
  }

  /** Cancels the call when it is aborted, takes too long to begin answering, or the transport closes. */
  #limit(call: { cancel(): void }, signal: AbortSignal): Limits {
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const signals = [signal, this.#closing.signal, deadline];
    const cancel = (): void => call.cancel();
    for (const each of signals) each.addEventListener('abort', cancel, { once: true });
    if (signals.some((each) => each.aborted)) cancel();
    let isAnswered = false;
    return {
      signal,
      hasTimedOut: () => deadline.aborted && !isAnswered,
      liftDeadline() {
        isAnswered = true;
        deadline.removeEventListener('abort', cancel);
      },
      release() {
        for (const each of signals) each.removeEventListener('abort', cancel);
      },
    };
  }

  /** The reason of the abort, or an error of ours. */
  #explain(error: unknown, method: Method, limits: Limits): unknown {
    if (limits.signal.aborted) return limits.signal.reason;
    const where = `${method} at ${this.#address.uri}`;
    if (this.#closing.signal.aborted) return unavailable(`${where}: the client was closed`);
    if (limits.hasTimedOut()) {
      return unavailable(`${where}: no answer within ${this.#timeoutMs / 1000} s`);
    }
    return error instanceof VouchsafeError ? error : fromGrpc(error, method, this.#address.uri);
  }
}

interface Limits {
  readonly signal: AbortSignal;
  hasTimedOut(): boolean;
  /** To be called at the first answer. */
  liftDeadline(): void;
  release(): void;
}

/** gRPC takes some 90 ms to load, so it is loaded by the first call: agents without SPIFFE never pay for it. */
async function connect(target: string): Promise<Connection> {
  // The default export holds everything wherever it runs; named ones are lost when a bundle wraps CommonJS.
  const { default: grpc } = await import('@grpc/grpc-js');
  const { Client, credentials, Metadata } = grpc;
  const metadata = new Metadata();
  metadata.set(SECURITY_HEADER.name, SECURITY_HEADER.value);
  return { client: new Client(target, credentials.createInsecure(), CHANNEL_OPTIONS), metadata };
}

function pathOf(method: Method): string {
  return `/${SERVICE}/${method}`;
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
