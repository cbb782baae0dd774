/**
 * The client of the SPIFFE Workload API: one call or one stream at a time, no retries.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 */
import {
  VouchsafeError,
  type Clock,
  type Logger,
  type Secret,
  type SpiffeId,
} from '../core/index.ts';
import { parseWorkloadApiAddress } from './address.ts';
import { parseJwtBundle, type JwtBundle, type JwtSvid } from './jwt-svid.ts';
import { parseServerSpiffeId } from './malformed.ts';
import { MESSAGES, WORKLOAD_API, type Method } from './proto/messages.ts';
import {
  byTrustDomain,
  decode,
  parseX509Bundles,
  type JwtRequest,
  type OnDiscarded,
  type SvidApi,
  type X509Bundles,
  type X509Context,
  type X509Response,
} from './svid-api.ts';
import { addressOfOtherName, chooseSocket } from './socket-names.ts';
import { SvidCalls } from './svid-calls.ts';
import { createTransport, type Transport } from './transport.ts';

const NO_FIELDS = new Uint8Array();

/** The Workload API of this process; see {@link SvidApi} for the errors. */
export interface WorkloadApi extends SvidApi {
  /** The current X.509 state. Waits up to 45 s. */
  fetchX509Context(signal: AbortSignal): Promise<X509Context>;
  /** `spiffe://trust-domain` -> keys. */
  watchJwtBundles(
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<ReadonlyMap<string, JwtBundle>>;
  /** Has the agent verify a token that a peer presented. `ERR_SPIFFE_REJECTED` if it is not valid. */
  validateJwtSvid(
    request: { readonly audience: string; readonly token: Secret<string> },
    signal: AbortSignal,
  ): Promise<{
    readonly spiffeId: SpiffeId;
    readonly claims: Readonly<Record<string, unknown>>;
  }>;
}

export interface WorkloadApiOptions {
  /**
   * `unix:///path` or `tcp://IP:port`. A socket called `agent.sock` or `spire-agent.sock` is also found under the other of
   * these names, if only that exists.
   */
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
  return new WorkloadApiClient(transportTo(options), options);
}

function transportTo(options: WorkloadApiOptions): Transport<Method> {
  const address = parseWorkloadApiAddress(options.address);
  const transport = createTransport(address, WORKLOAD_API, options);
  const otherAddress = addressOfOtherName(address);
  if (otherAddress === undefined) return transport;
  const { logger } = options;
  return chooseSocket({
    configured: { address, transport },
    other: {
      address: otherAddress,
      transport: createTransport(otherAddress, WORKLOAD_API, options),
    },
    ...(logger !== undefined && { logger }),
  });
}

class WorkloadApiClient implements WorkloadApi {
  readonly #transport: Transport<Method>;
  readonly #calls: SvidCalls<Method>;

  constructor(transport: Transport<Method>, options: WorkloadApiOptions) {
    this.#transport = transport;
    this.#calls = new SvidCalls(transport, options);
  }

  async fetchJwtSvids(request: JwtRequest, signal: AbortSignal): Promise<readonly JwtSvid[]> {
    const { audiences: audience, spiffeId = '' } = request;
    const answerName = 'JWTSVIDResponse';
    const svids = this.#calls.jwtSvids(
      request,
      {
        method: 'FetchJWTSVID',
        answerName,
        encode: () => MESSAGES.JWTSVIDRequest.encode({ audience, spiffeId }),
        decode: (answer) => decode(answerName, MESSAGES[answerName], answer).svids,
      },
      signal,
    );
    return svids.catch((error: unknown) => {
      throw spiffeId === '' ? error : withSubject(error, spiffeId);
    });
  }

  async fetchX509Context(signal: AbortSignal): Promise<X509Context> {
    const fail = (error: VouchsafeError): never => {
      throw error;
    };
    for await (const context of this.watchX509Contexts(signal, fail)) return context;
    throw new TypeError('a stream ended without an error');
  }

  watchX509Contexts(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Context> {
    const name = 'X509SVIDResponse';
    const read = (message: Uint8Array): X509Response => decode(name, MESSAGES[name], message);
    const call = { method: 'FetchX509SVID', request: NO_FIELDS, read } as const;
    return this.#calls.x509Contexts(call, signal, onDiscarded);
  }

  watchX509Bundles(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Bundles> {
    const name = 'X509BundlesResponse';
    const read = (message: Uint8Array): X509Bundles =>
      parseX509Bundles(decode(name, MESSAGES[name], message).bundles);
    const call = { method: 'FetchX509Bundles', request: NO_FIELDS, read } as const;
    return this.#calls.watch(call, signal, onDiscarded);
  }

  watchJwtBundles(
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<ReadonlyMap<string, JwtBundle>> {
    const name = 'JWTBundlesResponse';
    const read = (message: Uint8Array): ReadonlyMap<string, JwtBundle> =>
      byTrustDomain(decode(name, MESSAGES[name], message).bundles, parseJwtBundle);
    const call = { method: 'FetchJWTBundles', request: NO_FIELDS, read } as const;
    return this.#calls.watch(call, signal, onDiscarded);
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
    this.#calls.close();
  }
}

/** SPIRE denies an ID that is not one of the workload's with the same text as a workload without any identity. */
function withSubject(error: unknown, spiffeId: string): unknown {
  if (!(error instanceof VouchsafeError && error.code === 'ERR_SPIFFE_DENIED')) return error;
  const message = `${error.message}; the requested SPIFFE ID is ${spiffeId}`;
  return new VouchsafeError(error.code, message, { cause: error.cause, details: error.details });
}
