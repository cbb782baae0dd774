/**
 * The client of the SPIFFE Workload API: one call or one stream at a time, no retries. Ring: spiffe.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md
 */
import {
  NO_LOGGER,
  toVouchsafeError,
  VouchsafeError,
  type Clock,
  type Logger,
  type Secret,
  type SpiffeId,
} from '../core/index.ts';
import { parseWorkloadApiAddress } from './address.ts';
import { parseJwtBundle, parseJwtSvid, type JwtBundle, type JwtSvid } from './jwt-svid.ts';
import { malformed, missingField, parseServerSpiffeId } from './malformed.ts';
import type { MessageType } from './proto/codec.ts';
import { MESSAGES, type Method } from './proto/messages.ts';
import { createTransport, type Transport } from './transport.ts';
import { parseCertificates, parseX509Svid, type X509Svid } from './x509-svid.ts';

const NO_FIELDS = new Uint8Array();

/** All that a workload knows about X.509 at one moment; each one replaces the one before. */
export interface X509Context {
  /** The first one is the default identity. Empty when all were withdrawn. */
  readonly svids: readonly X509Svid[];
  /** `spiffe://trust-domain` -> its authorities, DER. */
  readonly federatedBundles: ReadonlyMap<string, readonly Uint8Array[]>;
  /** Revocation lists, DER. */
  readonly crls: readonly Uint8Array[];
}

/** What is done about a message that breaks the specification; the stream goes on without it. */
export type OnDiscarded = (error: VouchsafeError) => void;

/**
 * The Workload API. Calls reject, and streams throw, a `VouchsafeError` by gRPC status (`ERR_SPIFFE_UNAVAILABLE`,
 * `_DENIED`, `_REJECTED`, `_UNIMPLEMENTED`, `_MALFORMED`, `_SVID_INVALID`), or the reason of the abort.
 * Streams throw when the server ends them. Messages of streams that break the specification are reported
 * to `onDiscarded` (default: a warning in the log) and skipped.
 */
export interface WorkloadApi {
  /** JWT-SVIDs for all `audiences` at once (at least one), of all identities or of one. Waits 45 s at most. */
  fetchJwtSvids(
    request: { readonly audiences: readonly string[]; readonly spiffeId?: string },
    signal: AbortSignal,
  ): Promise<readonly JwtSvid[]>;
  /** The present X.509 state. Waits 45 s at most. */
  fetchX509Context(signal: AbortSignal): Promise<X509Context>;
  watchX509Contexts(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Context>;
  /** `spiffe://trust-domain` -> authorities, DER. */
  watchX509Bundles(
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<ReadonlyMap<string, readonly Uint8Array[]>>;
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
  /** Ends all calls and the connection. */
  close(): void;
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
  const transport = createTransport(parseWorkloadApiAddress(options.address));
  return new WorkloadApiClient(transport, options);
}

class WorkloadApiClient implements WorkloadApi {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(transport: Transport, options: WorkloadApiOptions) {
    this.#transport = transport;
    this.#clock = options.clock;
    this.#logger = options.logger ?? NO_LOGGER;
  }

  async fetchJwtSvids(
    { audiences, spiffeId = '' }: { audiences: readonly string[]; spiffeId?: string },
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
    const nowMs = this.#clock.now();
    return firstOfEachHint(svids).map((entry) => parseJwtSvid(entry, audiences, nowMs));
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

  watchX509Bundles(
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<ReadonlyMap<string, readonly Uint8Array[]>> {
    const parse = (message: Uint8Array): ReadonlyMap<string, readonly Uint8Array[]> => {
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

  async *#watch<T>(
    method: Method,
    parse: (message: Uint8Array) => T,
    signal: AbortSignal,
    onDiscarded: OnDiscarded = (error) =>
      this.#logger.warn('message of the workload api discarded', { method, error }),
  ): AsyncGenerator<T, void, undefined> {
    for await (const message of this.#transport.stream(method, NO_FIELDS, signal)) {
      let value: T;
      try {
        value = parse(message);
      } catch (error) {
        onDiscarded(toVouchsafeError(error));
        continue;
      }
      yield value;
    }
  }

  #parseX509Context(message: Uint8Array): X509Context {
    const response = decode('X509SVIDResponse', MESSAGES.X509SVIDResponse, message);
    const nowMs = this.#clock.now();
    return {
      svids: firstOfEachHint(response.svids).map((entry) => parseX509Svid(entry, nowMs)),
      federatedBundles: parseX509Bundles(response.federatedBundles),
      crls: response.crl,
    };
  }
}

function decode<T>(name: string, type: MessageType<T>, message: Uint8Array): T {
  try {
    return type.decode(message);
  } catch (error) {
    throw malformed(`the Workload API sent a ${name} that cannot be decoded`, error);
  }
}

/** SPIRE refuses an ID that is not among the workload's own in the same words as a workload without any. */
function withSubject(error: unknown, spiffeId: string): unknown {
  if (!(error instanceof VouchsafeError && error.code === 'ERR_SPIFFE_DENIED')) return error;
  const message = `${error.message}; the SPIFFE ID asked for is ${spiffeId}`;
  return new VouchsafeError(error.code, message, { cause: error.cause, details: error.details });
}

/** Of several SVIDs with the same hint only the first counts (Workload API, section 5.2.3). */
function firstOfEachHint<T extends { readonly hint: string }>(entries: readonly T[]): readonly T[] {
  const seen = new Set<string>();
  return entries.filter(({ hint }) => hint === '' || (!seen.has(hint) && seen.add(hint)));
}

function parseX509Bundles(
  bundles: ReadonlyMap<string, Uint8Array>,
): ReadonlyMap<string, readonly Uint8Array[]> {
  return byTrustDomain(bundles, (bytes, id) => parseCertificates(bytes, `the bundle of ${id}`));
}

function byTrustDomain<T>(
  bundles: ReadonlyMap<string, Uint8Array>,
  parse: (bytes: Uint8Array, trustDomainId: string) => T,
): ReadonlyMap<string, T> {
  const result = new Map<string, T>();
  for (const [key, bytes] of bundles) {
    const { uri, path } = parseServerSpiffeId(key, 'bundle');
    if (path !== '') throw malformed(`the Workload API sent a bundle of "${uri}", no trust domain`);
    result.set(uri, parse(bytes, uri));
  }
  return result;
}
