export { createVaultClient } from './client.ts';
export type {
  LeaseRenewal,
  LoginRequest,
  TokenRenewal,
  Validity,
  VaultAnswer,
  VaultClient,
  VaultClientOptions,
  VaultToken,
} from './types.ts';
