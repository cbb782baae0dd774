export {
  startOidcProvider,
  type OidcFault,
  type OidcProvider,
  type OidcProviderOptions,
} from './oidc-provider.ts';
export type { TrustDomain } from './trust-domain.ts';
export {
  createTrustDomain,
  startWorkloadApi,
  type DevIdentity,
  type DevWorkloadApi,
  type WorkloadApiFault,
  type WorkloadApiOptions,
} from './workload-api.ts';
