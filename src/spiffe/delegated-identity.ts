/**
 * The client of the Delegated Identity API of SPIRE's agent: SVIDs on behalf of the pods of a node, identified by
 * selectors. The agent does not verify selectors, so they must come from the API server's view of the pod.
 * Nothing received for one pod is stored, or passed to another.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/spire_agent.md, Delegated Identity API
 */
import { NO_LOGGER, type Clock, type Logger } from '../core/index.ts';
import { parseWorkloadApiAddress } from './address.ts';
import type { JwtSvid } from './jwt-svid.ts';
import { combineLatest } from './combine-latest.ts';
import type { MessageValue } from './proto/codec.ts';
import {
  DELEGATED_IDENTITY_API,
  DELEGATED_MESSAGES,
  type DelegatedMethod,
} from './proto/delegated-identity.ts';
import { shareTransport } from './shared-transport.ts';
import {
  decode,
  discardTo,
  parseX509Bundles,
  parseX509Context,
  readStream,
  type JwtRequest,
  type OnDiscarded,
  type SvidApi,
  type X509Bundles,
  type X509Context,
} from './svid-api.ts';
import { SvidCalls } from './svid-calls.ts';
import { createTransport } from './transport.ts';

const ENDPOINT = {
  name: 'Delegated Identity API',
  remedy: 'set the address of the admin socket of the SPIRE agent',
};

const NO_FIELDS = new Uint8Array();

export interface DelegatedIdentityOptions {
  /** The agent's admin socket, `unix:///path`; the agent identifies the caller by its process. */
  readonly address: string;
  readonly clock: Clock;
  readonly logger?: Logger;
}

/** The current selectors of a workload; a call with none, or with an invalid one, is a `TypeError`. */
export type SelectorsOf = (signal: AbortSignal) => Promise<readonly string[]>;

/** The Delegated Identity API of a node. */
export interface DelegatedIdentity {
  /**
   * SVIDs of the registration entries whose selectors are all among these (`k8s:ns:default`), over the shared
   * connection. `selectors` is called at the start of each call and stream; a stream uses them until it ends. The
   * caller closes it.
   */
  workload(selectors: SelectorsOf): SvidApi;
  /** Ends all calls of all workloads and the connection. */
  close(): void;
}

/**
 * A client that connects at its first call. The caller closes it.
 *
 * @throws VouchsafeError `ERR_SPIFFE_ADDRESS`
 */
export function createDelegatedIdentity(options: DelegatedIdentityOptions): DelegatedIdentity {
  const address = parseWorkloadApiAddress(options.address, ENDPOINT);
  const transport = createTransport(address, DELEGATED_IDENTITY_API, { clock: options.clock });
  return {
    workload: (selectorsOf) =>
      new DelegatedPod(new SvidCalls(shareTransport(transport), options), selectorsOf, options),
    close: () => transport.close(),
  };
}

type Messages = typeof DELEGATED_MESSAGES;
type Selector = MessageValue<Messages['Selector']>;
type Id = MessageValue<Messages['SPIFFEID']>;
type X509Svids = MessageValue<Messages['SubscribeToX509SVIDsResponse']>;
/** `spiffe://trust-domain` -> certificates, DER, one after the other. */
type Authorities = ReadonlyMap<string, Uint8Array>;

class DelegatedPod implements SvidApi {
  readonly #calls: SvidCalls<DelegatedMethod>;
  readonly #selectorsOf: SelectorsOf;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(
    calls: SvidCalls<DelegatedMethod>,
    selectorsOf: SelectorsOf,
    { clock, logger = NO_LOGGER }: DelegatedIdentityOptions,
  ) {
    this.#calls = calls;
    this.#selectorsOf = selectorsOf;
    this.#clock = clock;
    this.#logger = logger;
  }

  fetchJwtSvids(request: JwtRequest, signal: AbortSignal): Promise<readonly JwtSvid[]> {
    const answerName = 'FetchJWTSVIDsResponse';
    return this.#calls.jwtSvids(
      request,
      {
        method: 'FetchJWTSVIDs',
        answerName,
        encode: async () =>
          DELEGATED_MESSAGES.FetchJWTSVIDsRequest.encode({
            audience: request.audiences,
            selectors: await this.#selectors(signal),
          }),
        decode: (answer) =>
          decode(answerName, DELEGATED_MESSAGES[answerName], answer).svids.map(
            ({ id, token, hint }) => ({ spiffeId: uriOf(id), svid: token, hint }),
          ),
      },
      signal,
    );
  }

  watchX509Contexts(
    signal: AbortSignal,
    onDiscarded = discardTo(this.#logger, 'SubscribeToX509SVIDs'),
  ): AsyncIterable<X509Context> {
    const both = combineLatest(
      (s) => this.#svids(s, onDiscarded),
      (s) => this.#authorities((authorities) => authorities, s, onDiscarded),
      signal,
    );
    return readStream(both, ([svids, authorities]) => this.#join(svids, authorities), onDiscarded);
  }

  watchX509Bundles(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Bundles> {
    return this.#authorities(parseX509Bundles, signal, onDiscarded);
  }

  close(): void {
    this.#calls.close();
  }

  async #selectors(signal: AbortSignal): Promise<readonly Selector[]> {
    const selectors = await this.#selectorsOf(signal);
    if (selectors.length === 0) throw new TypeError('a workload needs at least one selector');
    return selectors.map(parseSelector);
  }

  async *#svids(
    signal: AbortSignal,
    onDiscarded: OnDiscarded,
  ): AsyncGenerator<X509Svids, void, undefined> {
    const [method, name] = ['SubscribeToX509SVIDs', 'SubscribeToX509SVIDsResponse'] as const;
    const selectors = await this.#selectors(signal);
    const request = DELEGATED_MESSAGES.SubscribeToX509SVIDsRequest.encode({ selectors });
    const read = (message: Uint8Array): X509Svids =>
      decode(name, DELEGATED_MESSAGES[name], message);
    const messages = this.#calls.watch({ method, request, read }, signal, onDiscarded);
    yield* this.#calls.rejectEmpty(messages, method, ({ x509Svids }) => x509Svids);
  }

  #authorities<T>(
    parse: (authorities: Authorities) => T,
    signal: AbortSignal,
    onDiscarded?: OnDiscarded,
  ): AsyncIterable<T> {
    const name = 'SubscribeToX509BundlesResponse';
    const read = (message: Uint8Array): T => {
      const { caCertificates } = decode(name, DELEGATED_MESSAGES[name], message);
      return parse(new Map([...caCertificates].map(([key, value]) => [idOfDomain(key), value])));
    };
    const call = { method: 'SubscribeToX509Bundles', request: NO_FIELDS, read } as const;
    return this.#calls.watch(call, signal, onDiscarded);
  }

  /** The agent sends all bundles that it has; the workload's are its own and those that it federates with. */
  #join({ x509Svids, federatesWith }: X509Svids, authorities: Authorities): X509Context {
    const bundleOf = (key: string): Uint8Array => authorities.get(key) ?? new Uint8Array();
    const federated = federatesWith.map((domain) => idOfDomain(domain));
    return parseX509Context(
      {
        svids: x509Svids.map(({ x509Svid, x509SvidKey }) => ({
          spiffeId: uriOf(x509Svid?.id),
          x509Svid: Buffer.concat(x509Svid?.certChain ?? []),
          x509SvidKey,
          bundle: bundleOf(idOfDomain(x509Svid?.id?.trustDomain ?? '')),
          hint: x509Svid?.hint ?? '',
        })),
        // The bundle of a federated domain may not have arrived yet; it is left out until then.
        federatedBundles: new Map(
          federated.filter((id) => authorities.has(id)).map((id) => [id, bundleOf(id)]),
        ),
        crl: [],
      },
      this.#clock.now(),
    );
  }
}

/** Depending on its version the agent sends trust domains as names or as SPIFFE IDs. */
function idOfDomain(text: string): string {
  return text.startsWith('spiffe://') ? text : `spiffe://${text}`;
}

function uriOf(id: Id | undefined): string {
  if (id === undefined) return '';
  const slash = id.path === '' || id.path.startsWith('/') ? '' : '/';
  return `${idOfDomain(id.trustDomain)}${slash}${id.path}`;
}

function parseSelector(text: string): Selector {
  const [, type, value] = /^([^:]+):(.+)$/s.exec(text) ?? [];
  if (type === undefined || value === undefined) {
    throw new TypeError(
      `"${text.slice(0, 256)}" is not a valid selector; the format is type:value`,
    );
  }
  return { type, value };
}
