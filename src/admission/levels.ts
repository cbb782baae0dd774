/**
 * Settings that pods or Namespaces may use only if the installation allows it.
 */
import {
  AGENT_OVERRIDES,
  isSettingName,
  type ResolvedSettings,
  type SettingName,
} from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import type { Problem } from '../core/index.ts';

/** Settings that take effect at a level where they are not allowed. Settings in `ignored` have no effect. */
export function levelProblems(
  { settings }: ResolvedSettings,
  { annotationPrefix: prefix, agent, vault }: Installation,
  ignored: Readonly<Record<string, string>> = {},
): readonly Problem[] {
  const problems = Object.keys(settings)
    .filter(isSettingName)
    .flatMap((name): Problem[] => {
      const { source } = settings[name];
      if (Object.hasOwn(ignored, name)) return [];
      if (source === 'namespace' && !vault.namespaceAnnotations.includes(name)) {
        const path = `${prefix}/${name} of the namespace`;
        return [{ path, message: 'may not be set on a Namespace (vault.namespaceAnnotations)' }];
      }
      if (source === 'pod' && isOverride(name) && !agent.allowImageOverride) {
        const message = 'may not be set on a pod (agent.allowImageOverride)';
        return [{ path: `${prefix}/${name}`, message }];
      }
      return [];
    });
  return problems;
}

function isOverride(name: SettingName): boolean {
  return (AGENT_OVERRIDES as readonly SettingName[]).includes(name);
}
