/**
 * What every API that gives SVIDs has in common: the Workload API, and those that give them on behalf of another
 * workload.
 */
import { toVouchsafeError, VouchsafeError, type Logger } from '../core/index.ts';
import { parseJwtSvid, type JwtSvid } from './jwt-svid.ts';
import { malformed, parseServerSpiffeId } from './malformed.ts';
import type { MessageType, MessageValue } from './proto/codec.ts';
import type { MESSAGES } from './proto/messages.ts';
import { parseCertificates, parseX509Svid, type X509Svid } from './x509-svid.ts';

/** All that a workload knows about X.509 at one moment; each one replaces the one before. */
export interface X509Context {
  /** The first one is the default identity; there is one at least. */
  readonly svids: readonly X509Svid[];
  /** `spiffe://trust-domain` -> its authorities, DER. */
  readonly federatedBundles: ReadonlyMap<string, readonly Uint8Array[]>;
  /** Revocation lists, DER. */
  readonly crls: readonly Uint8Array[];
}

/** What is done about a message that breaks the specification; the stream goes on without it. */
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
 * Streams throw when the server ends them, and `ERR_SPIFFE_DENIED` when it tells of no SVID (any more). Messages of
 * streams that break the specification are reported to `onDiscarded` (default: a warning in the log) and skipped.
 */
export interface SvidApi {
  /** Waits 45 s at most. */
  fetchJwtSvids(request: JwtRequest, signal: AbortSignal): Promise<readonly JwtSvid[]>;
  watchX509Contexts(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Context>;
  watchX509Bundles(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Bundles>;
  /** Ends all calls; the connection too, unless others use it. */
  close(): void;
}

/** Reads the messages of a stream, reporting those that cannot be read. */
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

/** Reads a message. @throws VouchsafeError `ERR_SPIFFE_MALFORMED` */
export function decode<T>(name: string, type: MessageType<T>, message: Uint8Array): T {
  try {
    return type.decode(message);
  } catch (error) {
    throw malformed(`the identity provider sent a ${name} that cannot be decoded`, error);
  }
}

/** Of several SVIDs with the same hint only the first counts (Workload API, section 5.2.3). */
function firstOfEachHint<T extends { readonly hint: string }>(entries: readonly T[]): readonly T[] {
  const seen = new Set<string>();
  return entries.filter(({ hint }) => hint === '' || (!seen.has(hint) && seen.add(hint)));
}

/** Reads bundles. @throws VouchsafeError `ERR_SPIFFE_MALFORMED` */
export function parseX509Bundles(bundles: ReadonlyMap<string, Uint8Array>): X509Bundles {
  return byTrustDomain(bundles, (bytes, id) => parseCertificates(bytes, `the bundle of ${id}`));
}

/** Reads what is kept by the SPIFFE IDs of trust domains. @throws VouchsafeError `ERR_SPIFFE_MALFORMED` */
export function byTrustDomain<T>(
  bundles: ReadonlyMap<string, Uint8Array>,
  parse: (bytes: Uint8Array, trustDomainId: string) => T,
): ReadonlyMap<string, T> {
  const result = new Map<string, T>();
  for (const [key, bytes] of bundles) {
    const { uri, path } = parseServerSpiffeId(key, 'bundle');
    if (path !== '')
      throw malformed(`the identity provider sent a bundle of "${uri}", no trust domain`);
    result.set(uri, parse(bytes, uri));
  }
  return result;
}

/** A JWT-SVID as it comes. */
export type JwtEntry = MessageValue<typeof MESSAGES.JWTSVID>;

/** All about X.509 as it comes. */
export type X509Response = MessageValue<typeof MESSAGES.X509SVIDResponse>;

/**
 * Chooses the SVIDs that were asked for, because not every server does, and checks them.
 *
 * @throws VouchsafeError `ERR_SPIFFE_NO_MATCH`, and the errors of {@link parseJwtSvid}.
 */
export function parseJwtSvids(
  entries: readonly JwtEntry[],
  { audiences, spiffeId }: JwtRequest,
  nowMs: number,
): readonly JwtSvid[] {
  const asked = entries.filter((entry) => spiffeId === undefined || entry.spiffeId === spiffeId);
  if (asked.length === 0) {
    const present = entries.map((entry) => entry.spiffeId.slice(0, 256)).slice(0, 16);
    throw new VouchsafeError(
      'ERR_SPIFFE_NO_MATCH',
      `the workload has no JWT-SVID with the SPIFFE ID ${spiffeId ?? ''}; it has ${present.join(', ') || 'none'}`,
    );
  }
  return firstOfEachHint(asked).map((entry) => parseJwtSvid(entry, audiences, nowMs));
}

/** Reads all about X.509. @throws VouchsafeError `ERR_SPIFFE_MALFORMED`, `ERR_SPIFFE_SVID_INVALID` */
export function parseX509Context(response: X509Response, nowMs: number): X509Context {
  return {
    svids: firstOfEachHint(response.svids).map((entry) => parseX509Svid(entry, nowMs)),
    federatedBundles: parseX509Bundles(response.federatedBundles),
    crls: response.crl,
  };
}
