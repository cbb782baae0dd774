export { CHART_ONLY } from './chart-shape.ts';
export { INSTALLATION_SCHEMA, SYSTEM_NAMESPACES } from './installation-shape.ts';
export {
  parseInstallation,
  type CertificateInstallation,
  type CsiInstallation,
  type Installation,
  type SpiffeInstallation,
  type VaultConnection,
  type VaultPolicy,
} from './installation.ts';
