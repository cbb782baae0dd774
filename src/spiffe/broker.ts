/**
 * The client of the SPIFFE Broker API: SVIDs on behalf of the pods of a node, by mutual TLS with X.509-SVIDs.
 * Nothing that came for one pod is kept, or given to another. Ring: spiffe.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Broker_API.md
 */
import { NO_LOGGER, type Clock, type Logger } from '../core/index.ts';
import { parseWorkloadApiAddress } from './address.ts';
import type { Identity } from './identity.ts';
import type { JwtSvid } from './jwt-svid.ts';
import { missingField } from './malformed.ts';
import { createMtls } from './mtls.ts';
import {
  BROKER_API,
  BROKER_MESSAGES,
  KUBERNETES_OBJECT_REFERENCE,
  type BrokerMethod,
} from './proto/broker.ts';
import type { MessageValue } from './proto/codec.ts';
import { shareTransport } from './shared-transport.ts';
import {
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

const ENDPOINT = { name: 'Broker API', remedy: 'give it, or set SPIFFE_BROKER_SOCKET' };

/** What {@link createBroker} needs. */
export interface BrokerOptions {
  /** `unix:///path` or `tcp://IP:port`. */
  readonly address: string;
  /** The broker's own X.509-SVID, which the server must list. The caller keeps it running. */
  readonly identity: Identity;
  /** SPIFFE IDs that the server may have, all of one trust domain. Default: any SPIRE agent of the own one. */
  readonly serverIds?: readonly string[];
  readonly clock: Clock;
  readonly logger?: Logger;
}

/** A pod. The server refuses a name that belongs to another UID. */
export interface PodReference {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** The Broker API of a node. */
export interface Broker {
  /**
   * SVIDs of one pod, over the connection of all. A pod that the agent does not know (yet) is
   * `ERR_SPIFFE_UNAVAILABLE`. The caller closes it.
   */
  workload(pod: PodReference): SvidApi;
  /** Ends all calls of all workloads and the connection. */
  close(): void;
}

/**
 * A client that connects at its first call. The caller closes it.
 *
 * @throws VouchsafeError `ERR_SPIFFE_ADDRESS`, `ERR_SPIFFE_ID`
 * @throws TypeError for `serverIds` that are none, or of several trust domains.
 */
export function createBroker(options: BrokerOptions): Broker {
  const address = parseWorkloadApiAddress(options.address, ENDPOINT);
  const transport = createTransport(address, BROKER_API, { security: createMtls(options) });
  return {
    workload: (pod) => new BrokeredPod(shareTransport(transport), pod, options),
    close: () => transport.close(),
  };
}

type WorkloadReference = MessageValue<typeof BROKER_MESSAGES.WorkloadReference>;

class BrokeredPod implements SvidApi {
  readonly #transport: Transport<BrokerMethod>;
  readonly #reference: WorkloadReference;
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor(transport: Transport<BrokerMethod>, pod: PodReference, options: BrokerOptions) {
    this.#transport = transport;
    this.#reference = referenceTo(pod);
    this.#clock = options.clock;
    this.#logger = options.logger ?? NO_LOGGER;
  }

  async fetchJwtSvids(request: JwtRequest, signal: AbortSignal): Promise<readonly JwtSvid[]> {
    const { audiences, spiffeId = '' } = request;
    if (audiences.length === 0) throw new TypeError('a JWT-SVID needs at least one audience');
    const message = BROKER_MESSAGES.FetchJWTSVIDRequest.encode({
      reference: this.#reference,
      audience: audiences,
      spiffeId,
    });
    const answer = await this.#transport.unary('FetchJWTSVID', message, signal);
    const name = 'FetchJWTSVIDResponse';
    const { svids } = decode(name, BROKER_MESSAGES.FetchJWTSVIDResponse, answer);
    if (svids.length === 0) throw missingField(name, 'svids');
    return parseJwtSvids(svids, request, this.#clock.now());
  }

  watchX509Contexts(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Context> {
    const parse = (message: Uint8Array): X509Context => {
      const type = BROKER_MESSAGES.SubscribeToX509SVIDResponse;
      const response = decode('SubscribeToX509SVIDResponse', type, message);
      return parseX509Context(response, this.#clock.now());
    };
    return this.#watch('SubscribeToX509SVID', parse, signal, onDiscarded);
  }

  watchX509Bundles(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Bundles> {
    const parse = (message: Uint8Array): X509Bundles => {
      const type = BROKER_MESSAGES.SubscribeToX509BundlesResponse;
      return parseX509Bundles(decode('SubscribeToX509BundlesResponse', type, message).bundles);
    };
    return this.#watch('SubscribeToX509Bundles', parse, signal, onDiscarded);
  }

  close(): void {
    this.#transport.close();
  }

  #watch<T>(
    method: 'SubscribeToX509SVID' | 'SubscribeToX509Bundles',
    parse: (message: Uint8Array) => T,
    signal: AbortSignal,
    onDiscarded = discardTo(this.#logger, method),
  ): AsyncIterable<T> {
    const type = BROKER_MESSAGES[`${method}Request`];
    const request = type.encode({ reference: this.#reference });
    return readStream(this.#transport.stream(method, request, signal), parse, onDiscarded);
  }
}

function referenceTo({ uid, namespace, name }: PodReference): WorkloadReference {
  if (uid === '' || namespace === '' || name === '') {
    throw new TypeError('a pod is told by its UID, namespace and name');
  }
  const value = BROKER_MESSAGES.KubernetesObjectReference.encode({
    type: { plural: 'pods', group: 'core' },
    key: { namespace, name },
    uid,
  });
  return { reference: { typeUrl: KUBERNETES_OBJECT_REFERENCE, value } };
}
