export { startBroker, type DevBroker } from './broker.ts';
export { startDelegatedIdentity, type DevDelegatedIdentity } from './delegated-identity.ts';
export type { ServiceFault as WorkloadApiFault } from './faulty-service.ts';
export { createTrustDomain } from './issuer.ts';
export { startOidcProvider, type OidcProvider } from './oidc-provider.ts';
export type { DevPod } from './pods.ts';
export type { TrustDomain } from './trust-domain.ts';
export { startWorkloadApi, type DevWorkloadApi, type WorkloadApiOptions } from './workload-api.ts';
