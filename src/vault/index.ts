export { createVaultClient, createVaultConnections } from './client.ts';
export type {
  ResponseParser,
  ResponseBudget,
  RequestLimiter,
  VaultClient,
  VaultClientOptions,
  VaultConnections,
} from './types.ts';
