export { createVaultClient, createVaultConnections } from './client.ts';
export type { ResponseShape, ParsedResponse } from './response.ts';
export type {
  ResponseParser,
  ResponseBudget,
  RawResponse,
  LeaseRenewal,
  RequestLimiter,
  TokenRenewal,
  VaultValue,
  VaultClient,
  VaultClientOptions,
  VaultConnections,
  VaultConnectionsOptions,
  LoginToken,
} from './types.ts';
