/**
 * A SPIFFE Broker API like that of SPIRE's agent: mutual TLS with X.509-SVIDs, a table of pods that also replaces
 * Kubernetes' authorizer, and faults for tests.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Broker_API.md
 */
import type { TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import {
  BROKER_API,
  BROKER_MESSAGES,
  KUBERNETES_OBJECT_REFERENCE,
  peerProblem,
  type BrokerMethod,
} from '../../spiffe/index.ts';
import type { Answers } from './faulty-service.ts';
import { StatusError } from './grpc-service.ts';
import type { Issuer } from './issuer.ts';
import { PodApi, type PodApiOptions } from './pod-api.ts';
import type { DevPod, PodRow, PodTable } from './pods.ts';
import type { TrustDomain } from './trust-domain.ts';

export interface BrokerOptions extends PodApiOptions {
  /** SPIFFE IDs of allowed clients: `brokers` in the agent's configuration. */
  readonly brokers: readonly string[];
  /** Its own SPIFFE ID. Default: `/spire/agent/dev` of its trust domain. */
  readonly serverId?: string;
  /** Signs its own X.509-SVID. Default: its trust domain. */
  readonly serverDomain?: TrustDomain;
  /** Called for each connection of an allowed client. */
  readonly onClient?: (socket: TLSSocket) => void;
}

/** A running Broker API. */
export type DevBroker = PodApi<BrokerMethod>;

/** Starts a Broker API. The caller closes it. */
export async function startBroker(options: BrokerOptions): Promise<DevBroker> {
  const api = new PodApi(BROKER_API, answersFrom, options);
  const { own, clock } = api.issuer;
  const { brokers, serverDomain = own, serverId = `${own.id}/spire/agent/dev` } = options;
  await api.start(options.address, {
    certificate() {
      const ttlMs = options.x509TtlMs ?? 3_600_000;
      const { certPem, keyPem } = serverDomain.mintX509Svid({ spiffeId: serverId }, ttlMs);
      return { cert: certPem, key: keyPem };
    },
    ca: own.bundlePem,
    onClient: options.onClient,
    isAllowed: (certificate) =>
      peerProblem(certificate, ({ uri }) => brokers.includes(uri), clock.now()) === undefined,
  });
  return api;
}

function answersFrom(issuer: Issuer, pods: PodTable): Answers<BrokerMethod> {
  return {
    async unary(_method, bytes) {
      const { audience, reference } = BROKER_MESSAGES.FetchJWTSVIDRequest.decode(bytes);
      if (audience.length === 0) invalid('audience must be specified');
      // As with SPIRE, the requested SPIFFE ID has no effect.
      const { svids } = attest(pods, reference);
      if (svids.length === 0) throw new StatusError(status.PERMISSION_DENIED, 'no identity issued');
      const identities = svids.map(({ identity }) => identity);
      return BROKER_MESSAGES.FetchJWTSVIDResponse.encode({
        svids: await issuer.mintJwtSvids(identities, audience),
      });
    },
    state(method, bytes) {
      const { svids } = attest(
        pods,
        BROKER_MESSAGES.SubscribeToX509SVIDRequest.decode(bytes).reference,
      );
      switch (method) {
        case 'SubscribeToX509SVID':
          return BROKER_MESSAGES.SubscribeToX509SVIDResponse.encode({
            svids: svids.map((svid) => issuer.x509Entry(svid)),
            federatedBundles: issuer.federatedBundles,
          });
        case 'SubscribeToX509Bundles':
          return BROKER_MESSAGES.SubscribeToX509BundlesResponse.encode({
            bundles: issuer.x509Bundles,
          });
        case 'SubscribeToJWTBundles':
          return BROKER_MESSAGES.SubscribeToJWTBundlesResponse.encode({
            bundles: issuer.jwtBundles,
          });
        case 'FetchJWTSVID':
          throw new StatusError(status.INTERNAL, 'not a stream');
      }
    },
  };
}

type Request = ReturnType<typeof BROKER_MESSAGES.SubscribeToX509SVIDRequest.decode>;

/**
 * The referenced pod, if it is known and the broker may act for it. As with SPIRE, a pod without identity gets an empty
 * list of X.509-SVIDs; only calls for JWT-SVIDs are denied.
 */
function attest(pods: PodTable, reference: Request['reference']): PodRow {
  const { typeUrl = '', value = new Uint8Array() } = reference?.reference ?? {};
  if (typeUrl === '') invalid('workload reference must be provided');
  if (typeUrl !== KUBERNETES_OBJECT_REFERENCE) invalid(`unsupported reference type: ${typeUrl}`);
  const row = findPod(pods, value);
  if (row.pod.mayBeImpersonated === false) {
    const verb = 'the broker may not use impersonate-via-spire for the referenced object';
    throw new StatusError(status.PERMISSION_DENIED, `Kubernetes authorizer: ${verb}`);
  }
  return row;
}

function findPod(pods: PodTable, bytes: Uint8Array): PodRow {
  const { type, key, uid } = BROKER_MESSAGES.KubernetesObjectReference.decode(bytes);
  if (type === undefined) invalid('object reference is missing type');
  if (type.plural !== 'pods' || type.group !== 'core') invalid('only pods are known here');
  if (key === undefined && uid === '') invalid('object reference is missing key and UID');
  if (key !== undefined && (key.name === '' || key.namespace === '')) {
    invalid('object reference key is missing name or namespace');
  }
  const isNamed = (pod: DevPod): boolean =>
    key === undefined || (pod.name === key.name && pod.namespace === key.namespace);
  const row = pods.find((pod) => isNamed(pod) && (uid === '' || pod.uid === uid));
  if (row === undefined) throw new StatusError(status.NOT_FOUND, 'pod not found on agent node');
  return row;
}

function invalid(message: string): never {
  throw new StatusError(status.INVALID_ARGUMENT, message);
}
