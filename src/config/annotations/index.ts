export {
  AGENT_OVERRIDES,
  ANNOTATIONS,
  classify,
  isSettingName,
  NOT_YET,
  SETTINGS,
  type Annotation,
  type AnnotationRow,
  type FileSettings,
  type Level,
  type Setting,
  type SettingName,
  type Settings,
} from './annotations.ts';
export { azureTokenFile } from './contradictions.ts';
export { IGNORED_IN_CSI, NOT_IN_VOLUME, UNSUPPORTED_IN_CSI } from './csi-settings.ts';
export { resolveSettings, type Annotations, type ResolvedSettings } from './settings.ts';
