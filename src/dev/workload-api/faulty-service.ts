/**
 * A gRPC service of the development servers that counts its calls and fails on demand.
 * It knows nothing about SVIDs; responses come from {@link Answers}.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import type { Clock, Logger } from '../../core/index.ts';
import type { Protocol } from '../../spiffe/index.ts';
import { listen, StatusError, type GrpcService, type OpenStream } from './grpc-service.ts';
import type { TlsOptions } from './tls-listener.ts';

/** How a call fails. Open streams of the method fail as well. */
export type ServiceFault =
  /** Rejects with a gRPC status code; ends open streams with it. */
  | { readonly kind: 'code'; readonly code: number; readonly message: string }
  /** Never responds; open streams get no more messages. */
  | { readonly kind: 'hang' }
  /** Delays the response of unary calls, by the clock. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** Sends bytes that are not a protocol buffer. */
  | { readonly kind: 'garbage' }
  /** Sends exactly these bytes as the message. */
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  /** Ends streams normally, without a message; unary calls fail with `UNAVAILABLE`. */
  | { readonly kind: 'end' };

/** The responses without faults; rejects a call by throwing a {@link StatusError}. */
export interface Answers<M extends string> {
  /** The response of a unary call. */
  unary(method: M, request: Uint8Array): Promise<Uint8Array>;
  /** The message of a stream with the current state. */
  state(method: M, request: Uint8Array): Uint8Array;
}

export interface FaultyServiceOptions<M extends string> {
  readonly protocol: Protocol<M>;
  readonly answers: Answers<M>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Serves a protocol once it is started. */
export class FaultyService<M extends string> {
  /** Calls by method, including rejected ones. */
  readonly calls: Record<M, number>;
  readonly #options: FaultyServiceOptions<M>;
  readonly #faults = new Map<M, ServiceFault>();
  readonly #streams = new Set<OpenStream<M>>();
  readonly #stop = new AbortController();
  #service: GrpcService | undefined;
  #directory: string | undefined;

  constructor(options: FaultyServiceOptions<M>) {
    this.#options = options;
    const counts = Object.keys(options.protocol.methods).map((method) => [method, 0]);
    this.calls = Object.fromEntries(counts) as Record<M, number>; // the keys are the methods
  }

  /** Address for clients; empty before the start. */
  get address(): string {
    return this.#service?.address ?? '';
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Listens; by default on a socket in its own directory. Plain text without `tls`. */
  async start(address: string | undefined, tls?: TlsOptions): Promise<void> {
    const { protocol, logger } = this.#options;
    if (address === undefined) {
      this.#directory = await mkdtemp(join(tmpdir(), 'vouchsafe-spiffe-'));
    }
    this.#service = await listen(address ?? `unix://${this.#directory ?? ''}/api.sock`, {
      protocol,
      tls,
      backend: {
        onCall: (method) => {
          this.calls[method] += 1;
          logger.debug('workload api call', { method });
        },
        answer: (method, request) => this.#answer(method, request),
        onStream: (stream) => {
          this.#streams.add(stream);
          this.#deliver(stream);
        },
        onStreamClosed: (stream) => void this.#streams.delete(stream),
      },
    });
  }

  /** Makes a call fail until it is set to undefined. */
  fault(method: M, fault: ServiceFault | undefined): void {
    if (fault === undefined) this.#faults.delete(method);
    else this.#faults.set(method, fault);
    this.push(method);
  }

  /** Sends the current state to open streams, of one method or of all. */
  push(method?: M): void {
    for (const stream of this.#streams) {
      if (method === undefined || stream.method === method) this.#deliver(stream);
    }
  }

  /** Ends all open streams normally. */
  dropStreams(): void {
    for (const stream of this.#streams) stream.end();
  }

  /** New connections get the newest certificate of the {@link TlsOptions}; open ones continue. */
  renewCertificate(): void {
    this.#service?.renewCertificate();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#service?.close();
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }

  #deliver(stream: OpenStream<M>): void {
    const { answers } = this.#options;
    try {
      const message = this.#faulty(stream.method) ?? answers.state(stream.method, stream.request);
      if (message === 'end') stream.end();
      else if (message !== 'hang') stream.send(message);
    } catch (error) {
      stream.end(
        error instanceof StatusError ? error : new StatusError(status.INTERNAL, 'internal error'),
      );
    }
  }

  async #answer(method: M, request: Uint8Array): Promise<Uint8Array> {
    const { answers, clock } = this.#options;
    const fault = this.#faults.get(method);
    if (fault?.kind === 'delay') await clock.sleep(fault.delayMs, this.#stop.signal);
    const message = this.#faulty(method);
    if (message === 'end') throw new StatusError(status.UNAVAILABLE, 'shutting down');
    if (message === 'hang') return await Promise.withResolvers<Uint8Array>().promise;
    return message ?? (await answers.unary(method, request));
  }

  #faulty(method: M): Uint8Array | 'hang' | 'end' | undefined {
    const fault = this.#faults.get(method);
    switch (fault?.kind) {
      case 'code':
        throw new StatusError(fault.code, fault.message);
      case 'garbage':
        return Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x7f]);
      case 'message':
        return fault.bytes;
      case 'hang':
      case 'end':
        return fault.kind;
      case 'delay':
      case undefined:
        return undefined;
    }
  }
}
