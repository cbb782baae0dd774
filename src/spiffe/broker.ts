/**
 * The client of the SPIFFE Broker API: SVIDs on behalf of the pods of a node, by mutual TLS with X.509-SVIDs.
 * Nothing received for one pod is stored, or passed to another.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Broker_API.md
 */
import type { Clock, Logger } from '../core/index.ts';
import { parseWorkloadApiAddress } from './address.ts';
import type { Identity } from './identity.ts';
import type { JwtSvid } from './jwt-svid.ts';
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
  parseX509Bundles,
  type JwtRequest,
  type OnDiscarded,
  type SvidApi,
  type X509Bundles,
  type X509Context,
} from './svid-api.ts';
import { SvidCalls } from './svid-calls.ts';
import { createTransport } from './transport.ts';

const ENDPOINT = {
  name: 'Broker API',
  remedy: 'set it in the configuration, or set SPIFFE_BROKER_SOCKET',
};

export interface BrokerOptions {
  /** `unix:///path` or `tcp://IP:port`. */
  readonly address: string;
  /** The broker's own X.509-SVID, which the server must list. The caller runs it. */
  readonly identity: Identity;
  /** SPIFFE IDs that the server may have, all of one trust domain. Default: any SPIRE agent of the broker's own. */
  readonly serverIds?: readonly string[];
  readonly clock: Clock;
  readonly logger?: Logger;
}

/** A pod. The server rejects a name that belongs to another UID. */
interface PodReference {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** The Broker API of a node. */
export interface Broker {
  /**
   * SVIDs of one pod, over the shared connection; `ERR_SPIFFE_UNAVAILABLE` if the agent does not know the pod (yet).
   * The caller closes it.
   */
  workload(pod: PodReference): SvidApi;
  /** Ends all calls of all workloads and the connection. */
  close(): void;
}

/**
 * A client that connects at its first call. The caller closes it.
 *
 * @throws VouchsafeError `ERR_SPIFFE_ADDRESS`, `ERR_SPIFFE_ID`
 * @throws TypeError for `serverIds` that are empty, or of several trust domains.
 */
export function createBroker(options: BrokerOptions): Broker {
  const address = parseWorkloadApiAddress(options.address, ENDPOINT);
  const transport = createTransport(address, BROKER_API, {
    clock: options.clock,
    security: createMtls(options),
  });
  return {
    workload: (pod) => new BrokeredPod(new SvidCalls(shareTransport(transport), options), pod),
    close: () => transport.close(),
  };
}

type WorkloadReference = MessageValue<typeof BROKER_MESSAGES.WorkloadReference>;

class BrokeredPod implements SvidApi {
  readonly #calls: SvidCalls<BrokerMethod>;
  readonly #reference: WorkloadReference;

  constructor(calls: SvidCalls<BrokerMethod>, pod: PodReference) {
    this.#calls = calls;
    this.#reference = referenceTo(pod);
  }

  fetchJwtSvids(request: JwtRequest, signal: AbortSignal): Promise<readonly JwtSvid[]> {
    const { audiences: audience, spiffeId = '' } = request;
    const answerName = 'FetchJWTSVIDResponse';
    return this.#calls.jwtSvids(
      request,
      {
        method: 'FetchJWTSVID',
        answerName,
        encode: () =>
          BROKER_MESSAGES.FetchJWTSVIDRequest.encode({
            reference: this.#reference,
            audience,
            spiffeId,
          }),
        decode: (answer) => decode(answerName, BROKER_MESSAGES[answerName], answer).svids,
      },
      signal,
    );
  }

  watchX509Contexts(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Context> {
    const name = 'SubscribeToX509SVIDResponse';
    return this.#calls.x509Contexts(
      {
        method: 'SubscribeToX509SVID',
        request: BROKER_MESSAGES.SubscribeToX509SVIDRequest.encode({ reference: this.#reference }),
        read: (message) => decode(name, BROKER_MESSAGES[name], message),
      },
      signal,
      onDiscarded,
    );
  }

  watchX509Bundles(signal: AbortSignal, onDiscarded?: OnDiscarded): AsyncIterable<X509Bundles> {
    const name = 'SubscribeToX509BundlesResponse';
    const reference = this.#reference;
    return this.#calls.watch(
      {
        method: 'SubscribeToX509Bundles',
        request: BROKER_MESSAGES.SubscribeToX509BundlesRequest.encode({ reference }),
        read: (message) => parseX509Bundles(decode(name, BROKER_MESSAGES[name], message).bundles),
      },
      signal,
      onDiscarded,
    );
  }

  close(): void {
    this.#calls.close();
  }
}

function referenceTo({ uid, namespace, name }: PodReference): WorkloadReference {
  if (uid === '' || namespace === '' || name === '') {
    throw new TypeError('a pod reference needs a UID, namespace and name');
  }
  const value = BROKER_MESSAGES.KubernetesObjectReference.encode({
    type: { plural: 'pods', group: 'core' },
    key: { namespace, name },
    uid,
  });
  return { reference: { typeUrl: KUBERNETES_OBJECT_REFERENCE, value } };
}
