export {
  AGENT_OVERRIDES,
  ANNOTATIONS,
  classify,
  isSettingName,
  SETTINGS,
  type Annotation,
  type AnnotationRow,
  type FileSettings,
  type Level,
  type Setting,
  type SettingName,
  type Settings,
  type VariableSettings,
} from './annotations.ts';
export { awsTokenFile, azureTokenFile, gcpCredentialFile, pathOf } from './clouds.ts';
export {
  IGNORED_IN_CSI,
  NO_MOUNT_PATH,
  NOT_IN_VOLUME,
  UNSUPPORTED_IN_CSI,
} from './csi-settings.ts';
export { resolveSettings, type Annotations, type ResolvedSettings } from './settings.ts';
export { x509Files } from './x509-files.ts';
export { x509Login } from './x509-login.ts';
