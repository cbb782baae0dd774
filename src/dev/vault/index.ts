export { startDevVault, type DevVault, type DevVaultOptions } from './dev-vault.ts';
export type { FaultResponse } from './server/faults.ts';
