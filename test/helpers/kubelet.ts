/** The kubelet as a CSI driver sees it: calls over Unix sockets. */
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { CALLS, type CallType } from '../../src/csi/proto/csi.ts';

/** The status of a failed call. */
export interface RejectedCall {
  readonly code: number;
  readonly details: string;
}

/** Calls one socket. */
export class Kubelet {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': 'localhost',
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 100,
      'grpc.max_send_message_length': -1,
    });
  }

  /** One call; rejects with a {@link RejectedCall}. */
  async call<Q, A>(
    type: CallType<Q, A>,
    request: Q,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<A> {
    return type.response.decode(await this.raw(type.path, type.request.encode(request), options));
  }

  /** One call of any bytes. */
  raw(
    path: string,
    bytes: Uint8Array,
    {
      signal,
      timeoutMs = 60_000,
    }: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const call = this.#client.makeUnaryRequest(
      path,
      (value: Uint8Array) => Buffer.from(value),
      (value: Buffer) => value,
      bytes,
      new Metadata(),
      { deadline: Date.now() + timeoutMs },
      (error: ServiceError | null, answer?: Uint8Array) => {
        if (answer === undefined) reject(new CallError(error));
        else resolve(answer);
      },
    );
    signal?.addEventListener('abort', () => call.cancel(), { once: true });
    return promise;
  }

  /** Registers the driver by a socket in the registry, as the kubelet does; resolves to the driver's description. */
  async register(outcome: { readonly error?: string } = {}): Promise<Registered> {
    const info = await this.call(CALLS.getInfo, {});
    const pluginRegistered = outcome.error === undefined;
    const { error = '' } = outcome;
    await this.call(CALLS.notifyRegistrationStatus, { pluginRegistered, error });
    return info;
  }

  close(): void {
    this.#client.close();
  }
}

/** The description of a driver. */
export interface Registered {
  readonly type: string;
  readonly name: string;
  readonly endpoint: string;
  readonly supportedVersions: readonly string[];
}

class CallError extends Error implements RejectedCall {
  readonly code: number;
  readonly details: string;

  constructor(error: ServiceError | null) {
    super(error?.details ?? 'neither error nor answer');
    this.code = error?.code ?? -1;
    this.details = error?.details ?? '';
  }
}
