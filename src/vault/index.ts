export { createVaultClient, createVaultConnections } from './client.ts';
export type {
  LeaseRenewal,
  RequestTurns,
  TokenRenewal,
  VaultAnswer,
  VaultClient,
  VaultClientOptions,
  VaultConnections,
  VaultConnectionsOptions,
  VaultToken,
} from './types.ts';
