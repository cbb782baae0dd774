/** What checks of conflicts between settings work on. */
import type { FileSettings, Settings, VariableSettings } from './annotations.ts';

/** The settings to check, and where conflicts are reported. */
export interface CheckContext {
  readonly settings: Settings;
  readonly files: readonly FileSettings[];
  readonly variables: readonly VariableSettings[];
  readonly prefix: string;
  /** `name` is an annotation without its prefix. */
  readonly report: (name: string, message: string) => void;
}
