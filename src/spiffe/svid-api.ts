/**
 * The common interface of all APIs that issue SVIDs: the Workload API, and those on behalf of another workload.
 */
import { toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import { parseJwtSvid, type JwtSvid } from './jwt-svid.ts';
import { malformed, parseServerSpiffeId } from './malformed.ts';
import type { MessageType, MessageValue } from './proto/codec.ts';
import type { MESSAGES } from './proto/messages.ts';
import { parseCertificates, parseX509Svid, type X509Svid } from './x509-svid.ts';

/** The complete X.509 state of a workload; each one replaces the previous one. */
export interface X509Context {
  /** At least one; the first is the default identity. */
  readonly svids: readonly X509Svid[];
  /** `spiffe://trust-domain` -> its authorities, DER. */
  readonly federatedBundles: ReadonlyMap<string, readonly Uint8Array[]>;
  /** Revocation lists, DER. */
  readonly crls: readonly Uint8Array[];
}

/** Called for a message that violates the specification; the stream continues without it. */
export type OnDiscarded = (error: VouchsafeError) => void;

/** `spiffe://trust-domain` -> its authorities, DER. */
export type X509Bundles = ReadonlyMap<string, readonly Uint8Array[]>;

/** A request for JWT-SVIDs: for all `audiences` at once (at least one), of all identities or of one. */
export interface JwtRequest {
  readonly audiences: readonly string[];
  readonly spiffeId?: string;
}

/**
 * SVIDs of one workload. Calls reject, and streams throw, a `VouchsafeError` by gRPC status (`ERR_SPIFFE_UNAVAILABLE`,
 * `_DENIED`, `_REJECTED`, `_UNIMPLEMENTED`, `_MALFORMED`, `_SVID_INVALID`), or the reason of the abort.
 * Streams throw when the server ends them, and `ERR_SPIFFE_DENIED` when it sends a list without SVIDs. Messages of
 * streams that violate the specification are reported to `onDiscarded` (default: a warning in the log) and skipped.
 */
export interface SvidApi {
  /** Waits up to 45 s. */
  fetchJwtSvids(request: JwtRequest, signal: AbortSignal): Promise<readonly JwtSvid[]>;
  watchX509Contexts(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Context>;
  watchX509Bundles(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Bundles>;
  /** Ends all calls, and the connection unless it is shared. */
  close(): void;
}

/** Parses the messages of a stream, and reports those that cannot be parsed. */
export async function* readStream<M, T>(
  messages: AsyncIterable<M>,
  parse: (message: M) => T,
  onDiscarded: OnDiscarded,
): AsyncGenerator<T, void, undefined> {
  for await (const message of messages) {
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

/** Reports to a log. */
export function discardTo(logger: Logger, method: string): OnDiscarded {
  return (error) => logger.warn('message of the identity provider discarded', { method, error });
}

/** Decodes a message. @throws VouchsafeError `ERR_SPIFFE_MALFORMED` */
export function decode<T>(name: string, type: MessageType<T>, message: Uint8Array): T {
  try {
    return type.decode(message);
  } catch (error) {
    throw malformed(`the identity provider sent a ${name} that cannot be decoded`, error);
  }
}

/** Of several SVIDs with the same hint, the first is used (Workload API, section 5.2.3). */
function firstOfEachHint<T extends { readonly hint: string }>(entries: readonly T[]): readonly T[] {
  const seen = new Set<string>();
  return entries.filter(({ hint }) => hint === '' || (!seen.has(hint) && seen.add(hint)));
}

/** Parses bundles. @throws VouchsafeError `ERR_SPIFFE_MALFORMED` */
export function parseX509Bundles(bundles: ReadonlyMap<string, Uint8Array>): X509Bundles {
  return byTrustDomain(bundles, (bytes, id) => parseCertificates(bytes, `the bundle of ${id}`));
}

/** Parses a map whose keys are the SPIFFE IDs of trust domains. @throws VouchsafeError `ERR_SPIFFE_MALFORMED` */
export function byTrustDomain<T>(
  bundles: ReadonlyMap<string, Uint8Array>,
  parse: (bytes: Uint8Array, trustDomainId: string) => T,
): ReadonlyMap<string, T> {
  const result = new Map<string, T>();
  for (const [key, bytes] of bundles) {
    const { uri, path } = parseServerSpiffeId(key, 'bundle');
    if (path !== '')
      throw malformed(
        `the identity provider sent a bundle for "${uri}", which is not a trust domain`,
      );
    result.set(uri, parse(bytes, uri));
  }
  return result;
}

/** A JWT-SVID as received. */
export type JwtEntry = MessageValue<typeof MESSAGES.JWTSVID>;

/** The X.509 state as received. */
export type X509Response = MessageValue<typeof MESSAGES.X509SVIDResponse>;

/**
 * Selects the requested SVIDs, because not every server does, and checks them.
 *
 * @throws VouchsafeError `ERR_SPIFFE_NO_MATCH`, and the errors of {@link parseJwtSvid}.
 */
export function parseJwtSvids(
  entries: readonly JwtEntry[],
  { audiences, spiffeId }: JwtRequest,
  nowMs: number,
): readonly JwtSvid[] {
  const matching = entries.filter((entry) => spiffeId === undefined || entry.spiffeId === spiffeId);
  if (matching.length === 0) {
    const present = entries.map((entry) => entry.spiffeId.slice(0, 256)).slice(0, 16);
    throw new VouchsafeError(
      'ERR_SPIFFE_NO_MATCH',
      `the workload has no JWT-SVID with the SPIFFE ID ${spiffeId ?? ''}; it has ${present.join(', ') || 'none'}`,
    );
  }
  return firstOfEachHint(matching).map((entry) => parseJwtSvid(entry, audiences, nowMs));
}

/** Parses the X.509 state. @throws VouchsafeError `ERR_SPIFFE_MALFORMED`, `ERR_SPIFFE_SVID_INVALID` */
export function parseX509Context(response: X509Response, nowMs: number): X509Context {
  return {
    svids: firstOfEachHint(response.svids).map((entry) => parseX509Svid(entry, nowMs)),
    federatedBundles: parseX509Bundles(response.federatedBundles),
    crls: response.crl,
  };
}
