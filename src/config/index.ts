export * from './agent-config.ts';
export {
  AGENT_API_VERSION,
  AGENT_CONFIG_SCHEMA,
  AGENT_KIND,
  MAX_FILES,
  type RawAgentConfig,
  type RawFile,
  type RawX509Files,
} from './agent-document.ts';
export {
  AGENT_OVERRIDES,
  ANNOTATIONS,
  classify,
  isSettingName,
  NOT_YET,
  SETTINGS,
  type AnnotationRow,
  type Classified,
  type FileSettings,
  type Level,
  type Setting,
  type SettingName,
  type Settings,
  type Source,
} from './annotations.ts';
export { AZURE_AUDIENCE, azureTokenFile } from './contradictions.ts';
export {
  IGNORED_IN_CSI,
  csiObstacles,
  UNSUPPORTED_IN_CSI,
  NOT_IN_VOLUME,
  type CsiObstacle,
} from './csi-settings.ts';
export { CHART_ONLY } from './chart-shape.ts';
export * as DEFAULTS from './defaults.ts';
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
export { httpOrigin } from './grammar.ts';
export type { JsonSchema } from './json-schema.ts';
export {
  parseAgentConfig,
  parseAgentConfigText,
  parseDocumentText,
  type AgentEnvironment,
} from './parse-agent-config.ts';
export {
  resolveSettings,
  type Annotations,
  type ResolvedSettings,
  type SettingsInput,
} from './settings.ts';
