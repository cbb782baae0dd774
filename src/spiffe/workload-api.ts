/**
 * The client of the SPIFFE Workload API: one call or one stream at a time, no retries. Ring: spiffe.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 */
import {
  NO_LOGGER,
  VouchsafeError,
  type Clock,
  type Logger,
  type Secret,
  type SpiffeId,
} from '../core/index.ts';
import { parseWorkloadApiAddress } from './address.ts';
import { parseJwtBundle, type JwtBundle, type JwtSvid } from './jwt-svid.ts';
import { missingField, parseServerSpiffeId } from './malformed.ts';
import { MESSAGES, WORKLOAD_API, type Method } from './proto/messages.ts';
import {
  byTrustDomain,
  decode,
  discardTo,
  parseJwtSvids,
  parseX509Bundles,
  parseX509Context,
  readStream,
  type JwtRequest,
  type OnDiscarded,
  type SvidApi,
  type X509Bundles,
  type X509Context,
} from './svid-api.ts';
import { createTransport, type Transport } from './transport.ts';

const NO_FIELDS = new Uint8Array();

/** The Workload API of this process; see {@link SvidApi} for the errors. */
export interface WorkloadApi extends SvidApi {
  /** The present X.509 state. Waits 45 s at most. */
  fetchX509Context(signal: AbortSignal): Promise<X509Context>;
  /** `spiffe://trust-domain` -> keys. */
  watchJwtBundles(
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<ReadonlyMap<string, JwtBundle>>;
  /** Has the agent verify a token that somebody else presented. `ERR_SPIFFE_REJECTED` when it is not valid. */
  validateJwtSvid(
    request: { readonly audience: string; readonly token: Secret<string> },
    signal: AbortSignal,
  ): Promise<{
    readonly spiffeId: SpiffeId;
    readonly claims: Readonly<Record<string, unknown>>;
  }>;
}

/** What {@link createWorkloadApi} needs. */
export interface WorkloadApiOptions {
  /** `unix:///path` or `tcp://IP:port`. */
  readonly address: string;
  readonly clock: Clock;
  readonly logger?: Logger;
}

/**
 * A client that connects at its first call. The caller closes it.
 *
 * @throws VouchsafeError `ERR_SPIFFE_ADDRESS`
 */
export function createWorkloadApi(options: WorkloadApiOptions): WorkloadApi {
  const transport = createTransport(parseWorkloadApiAddress(options.address), WORKLOAD_API);
  return new WorkloadApiClient(transport, options);
}

class WorkloadApiClient implements WorkloadApi {
  readonly #transport: Transport<Method>;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(transport: Transport<Method>, options: WorkloadApiOptions) {
    this.#transport = transport;
    this.#clock = options.clock;
    this.#logger = options.logger ?? NO_LOGGER;
  }

  async fetchJwtSvids(
    { audiences, spiffeId = '' }: JwtRequest,
    signal: AbortSignal,
  ): Promise<readonly JwtSvid[]> {
    if (audiences.length === 0) throw new TypeError('a JWT-SVID needs at least one audience');
    const request = MESSAGES.JWTSVIDRequest.encode({ audience: audiences, spiffeId });
    const answer = await this.#transport
      .unary('FetchJWTSVID', request, signal)
      .catch((error: unknown) => {
        throw spiffeId === '' ? error : withSubject(error, spiffeId);
      });
    const { svids } = decode('JWTSVIDResponse', MESSAGES.JWTSVIDResponse, answer);
    if (svids.length === 0) throw missingField('JWTSVIDResponse', 'svids');
    return parseJwtSvids(svids, { audiences }, this.#clock.now()); // the server has chosen
  }

  async fetchX509Context(signal: AbortSignal): Promise<X509Context> {
    const stream = this.#transport.stream('FetchX509SVID', NO_FIELDS, signal);
    for await (const message of stream) return this.#parseX509Context(message);
    throw new TypeError('a stream ended without an error');
  }

  watchX509Contexts(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Context> {
    const parse = (message: Uint8Array): X509Context => this.#parseX509Context(message);
    return this.#watch('FetchX509SVID', parse, signal, onDiscarded);
  }

  watchX509Bundles(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Bundles> {
    const parse = (message: Uint8Array): X509Bundles => {
      const type = MESSAGES.X509BundlesResponse;
      return parseX509Bundles(decode('X509BundlesResponse', type, message).bundles);
    };
    return this.#watch('FetchX509Bundles', parse, signal, onDiscarded);
  }

  watchJwtBundles(
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<ReadonlyMap<string, JwtBundle>> {
    const parse = (message: Uint8Array): ReadonlyMap<string, JwtBundle> => {
      const { bundles } = decode('JWTBundlesResponse', MESSAGES.JWTBundlesResponse, message);
      return byTrustDomain(bundles, parseJwtBundle);
    };
    return this.#watch('FetchJWTBundles', parse, signal, onDiscarded);
  }

  async validateJwtSvid(
    { audience, token }: { audience: string; token: Secret<string> },
    signal: AbortSignal,
  ): Promise<{ spiffeId: SpiffeId; claims: Readonly<Record<string, unknown>> }> {
    const request = MESSAGES.ValidateJWTSVIDRequest.encode({ audience, svid: token.reveal() });
    const answer = await this.#transport.unary('ValidateJWTSVID', request, signal);
    const name = 'ValidateJWTSVIDResponse';
    const { spiffeId, claims } = decode(name, MESSAGES.ValidateJWTSVIDResponse, answer);
    return { spiffeId: parseServerSpiffeId(spiffeId, name), claims };
  }

  close(): void {
    this.#transport.close();
  }

  #watch<T>(
    method: Method,
    parse: (message: Uint8Array) => T,
    signal: AbortSignal,
    onDiscarded = discardTo(this.#logger, method),
  ): AsyncIterable<T> {
    return readStream(this.#transport.stream(method, NO_FIELDS, signal), parse, onDiscarded);
  }

  #parseX509Context(message: Uint8Array): X509Context {
    const response = decode('X509SVIDResponse', MESSAGES.X509SVIDResponse, message);
    return parseX509Context(response, this.#clock.now());
  }
}

/** SPIRE refuses an ID that is not among the workload's own in the same words as a workload without any. */
function withSubject(error: unknown, spiffeId: string): unknown {
  if (!(error instanceof VouchsafeError && error.code === 'ERR_SPIFFE_DENIED')) return error;
  const message = `${error.message}; the SPIFFE ID asked for is ${spiffeId}`;
  return new VouchsafeError(error.code, message, { cause: error.cause, details: error.details });
}
