export { startDevVault, type DevVault, type DevVaultOptions } from './dev-vault.ts';
export type {
  FaultResponse,
  FaultRule,
  Faults,
  RequestFilter,
  SeenRequest,
} from './listener/faults.ts';
export type { RateLimit } from './listener/rate-limit.ts';
export type { LoggedRequest } from './listener/request-log.ts';
export type { DatabaseUsers, UserEvent } from './secrets/users.ts';
