export { parseWorkloadApiAddress } from './address.ts';
export { createBroker, type Broker } from './broker.ts';
export {
  createDelegatedIdentity,
  type DelegatedIdentity,
  type SelectorsOf,
} from './delegated-identity.ts';
export { createIdentity, type Identity, type X509Identity } from './identity.ts';
export { x509Pem } from './pem.ts';
export { podSelectors } from './pod-selectors.ts';
export type { SvidApi, X509Context } from './svid-api.ts';
export { createWorkloadApi, type WorkloadApi } from './workload-api.ts';
export { peerProblem } from './x509-svid.ts';

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
export { MESSAGES, METHODS, WORKLOAD_API, type Method } from './proto/messages.ts';
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
