/**
 * What the clients of all APIs that issue SVIDs have in common: calls, streams, and the handling of empty lists.
 */
import { NO_LOGGER, type Clock, type Logger } from '../core/index.ts';
import type { JwtSvid } from './jwt-svid.ts';
import { missingField } from './malformed.ts';
import {
  discardTo,
  parseJwtSvids,
  parseX509Context,
  readStream,
  type JwtEntry,
  type JwtRequest,
  type OnDiscarded,
  type X509Context,
  type X509Response,
} from './svid-api.ts';
import type { Transport } from './transport.ts';

export interface SvidCallsOptions {
  readonly clock: Clock;
  readonly logger?: Logger;
}

/** The call of an API that fetches JWT-SVIDs. */
export interface JwtCall<M extends string> {
  readonly method: M;
  readonly answerName: string;
  readonly encode: () => Uint8Array | Promise<Uint8Array>;
  readonly decode: (answer: Uint8Array) => readonly JwtEntry[];
}

/** A streaming call, and how its messages are parsed. */
export interface StreamCall<M extends string, T> {
  readonly method: M;
  readonly request: Uint8Array;
  readonly read: (message: Uint8Array) => T;
}

/** Calls of one workload. */
export class SvidCalls<M extends string> {
  readonly #transport: Transport<M>;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(transport: Transport<M>, { clock, logger = NO_LOGGER }: SvidCallsOptions) {
    this.#transport = transport;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** @throws TypeError without audiences. */
  async jwtSvids(
    request: JwtRequest,
    { method, answerName, encode, decode }: JwtCall<M>,
    signal: AbortSignal,
  ): Promise<readonly JwtSvid[]> {
    if (request.audiences.length === 0) {
      throw new TypeError('a JWT-SVID needs at least one audience');
    }
    const entries = decode(await this.#transport.unary(method, await encode(), signal));
    if (entries.length === 0) throw missingField(answerName, 'svids');
    return parseJwtSvids(entries, request, this.#clock.now());
  }

  x509Contexts(
    call: StreamCall<M, X509Response>,
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<X509Context> {
    const read = (message: Uint8Array): X509Context =>
      parseX509Context(call.read(message), this.#clock.now());
    const contexts = this.watch({ ...call, read }, signal, onDiscarded);
    return this.rejectEmpty(contexts, call.method, ({ svids }) => svids);
  }

  watch<T>(
    { method, request, read }: StreamCall<M, T>,
    signal: AbortSignal,
    onDiscarded = discardTo(this.#logger, method),
  ): AsyncIterable<T> {
    return readStream(this.#transport.stream(method, request, signal), read, onDiscarded);
  }

  /**
   * Ends a stream at a list without SVIDs, as if the server had denied it. SPIRE does not deny calls on behalf of a
   * pod: it keeps using the selectors from the start of the stream, which may be incomplete.
   *
   * @throws VouchsafeError `ERR_SPIFFE_DENIED`
   */
  async *rejectEmpty<T>(
    messages: AsyncIterable<T>,
    method: M,
    svidsOf: (message: T) => readonly unknown[],
  ): AsyncGenerator<T, void, undefined> {
    for await (const message of messages) {
      if (svidsOf(message).length === 0) throw this.#transport.nothingIssued(method);
      yield message;
    }
  }

  close(): void {
    this.#transport.close();
  }
}
