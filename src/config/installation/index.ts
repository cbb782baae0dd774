export { CHART_ONLY } from './chart-shape.ts';
export { INSTALLATION_SCHEMA } from './installation-shape.ts';
export {
  parseInstallation,
  type Installation,
  type VaultConnection,
  type VaultPolicy,
} from './installation.ts';
export type { TrustBundle } from './trust-bundle.ts';
