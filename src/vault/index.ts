export { createVaultClient, createVaultConnections } from './client.ts';
export type { AnswerShape, OpenedAnswer } from './answer.ts';
export type {
  AnswerOpener,
  AnswerRoom,
  UnopenedAnswer,
  LeaseRenewal,
  RequestTurns,
  TokenRenewal,
  VaultAnswer,
  VaultClient,
  VaultClientOptions,
  VaultConnections,
  VaultConnectionsOptions,
  LoginToken,
} from './types.ts';
