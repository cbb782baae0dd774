export { createVaultClient } from './client.ts';
export type {
  LeaseRenewal,
  TokenRenewal,
  VaultAnswer,
  VaultClient,
  VaultClientOptions,
  VaultToken,
} from './types.ts';
