export { parseWorkloadApiAddress, type WorkloadApiAddress } from './address.ts';
export {
  createIdentity,
  type Identity,
  type IdentityOptions,
  type X509Identity,
} from './identity.ts';
export type { JwtBundle, JwtSvid } from './jwt-svid.ts';
export { x509Pem, type X509Pem } from './pem.ts';
export {
  createWorkloadApi,
  type OnDiscarded,
  type WorkloadApi,
  type WorkloadApiOptions,
  type X509Context,
} from './workload-api.ts';
export type { X509Svid } from './x509-svid.ts';

// For those who serve the same protocol.
export { MESSAGES, METHODS, SECURITY_HEADER, SERVICE, type Method } from './proto/messages.ts';

// For those who speak other protocols in the same encoding.
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
