export { createVaultClient } from './client.ts';
export type {
  LoginRequest,
  Renewal,
  Validity,
  VaultAnswer,
  VaultClient,
  VaultClientOptions,
  VaultToken,
} from './types.ts';
