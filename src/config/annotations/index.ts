export {
  AGENT_OVERRIDES,
  ANNOTATIONS,
  classify,
  isSettingName,
  NOT_YET,
  SETTINGS,
  type Annotation,
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
  csiObstacles,
  IGNORED_IN_CSI,
  NOT_IN_VOLUME,
  UNSUPPORTED_IN_CSI,
  type CsiObstacle,
} from './csi-settings.ts';
export {
  resolveSettings,
  type Annotations,
  type ResolvedSettings,
  type SettingsInput,
} from './settings.ts';
