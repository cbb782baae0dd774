export { parseWorkloadApiAddress, type WorkloadApiAddress } from './address.ts';
export {
  createIdentity,
  type Identity,
  type IdentityOptions,
  type X509Identity,
} from './identity.ts';
export type { JwtBundle, JwtSvid } from './jwt-svid.ts';
export { x509Pem, type X509Pem } from './pem.ts';
export type { JwtRequest, OnDiscarded, SvidApi, X509Bundles, X509Context } from './svid-api.ts';
export { createWorkloadApi, type WorkloadApi, type WorkloadApiOptions } from './workload-api.ts';
export type { X509Svid } from './x509-svid.ts';

// For those who serve the same protocol.
export { MESSAGES, METHODS, SECURITY_HEADER, SERVICE, type Method } from './proto/messages.ts';
