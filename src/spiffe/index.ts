export { parseWorkloadApiAddress, type WorkloadApiAddress } from './address.ts';
export { createBroker, type Broker, type BrokerOptions, type PodReference } from './broker.ts';
export {
  createDelegatedIdentity,
  type DelegatedIdentity,
  type DelegatedIdentityOptions,
  type SelectorsOf,
} from './delegated-identity.ts';
export {
  createIdentity,
  type Identity,
  type IdentityOptions,
  type X509Identity,
} from './identity.ts';
export type { JwtBundle, JwtSvid } from './jwt-svid.ts';
export { x509Pem, type X509Pem } from './pem.ts';
export { podSelectors, type PodFacts } from './pod-selectors.ts';
export type { JwtRequest, OnDiscarded, SvidApi, X509Bundles, X509Context } from './svid-api.ts';
export { createWorkloadApi, type WorkloadApi, type WorkloadApiOptions } from './workload-api.ts';
export { peerProblem, type X509Svid } from './x509-svid.ts';

// For servers of the same protocols.
export {
  BROKER_API,
  BROKER_MESSAGES,
  KUBERNETES_OBJECT_REFERENCE,
  type BrokerMethod,
} from './proto/broker.ts';
export {
  DELEGATED_IDENTITY_API,
  DELEGATED_MESSAGES,
  type DelegatedMethod,
} from './proto/delegated-identity.ts';
export {
  MESSAGES,
  METHODS,
  SECURITY_HEADER,
  SERVICE,
  WORKLOAD_API,
  type Method,
} from './proto/messages.ts';
export type { Protocol } from './proto/protocol.ts';

// For other protocols with the same encoding.
export {
  BOOL,
  field,
  INT64,
  message,
  nested,
  repeated,
  repeatedMessage,
  STRING,
  TEXT_BY_NAME,
  UINT32,
  type MessageType,
  type MessageValue,
} from './proto/codec.ts';
