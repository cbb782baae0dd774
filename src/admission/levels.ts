/**
 * Who may say what about the agent: some settings are not for pods or Namespaces unless the installation lets them.
 */
import {
  AGENT_OVERRIDES,
  isSettingName,
  type Installation,
  type ResolvedSettings,
  type SettingName,
} from '../config/index.ts';
import type { Problem } from '../core/index.ts';

/** Settings that take effect although the place where they stand is not for them. Those of `idle` have no effect. */
export function levelProblems(
  { settings }: ResolvedSettings,
  { annotationPrefix: prefix, agent, vault }: Installation,
  idle: Readonly<Record<string, string>> = {},
): readonly Problem[] {
  const problems = Object.keys(settings)
    .filter(isSettingName)
    .flatMap((name): Problem[] => {
      const { source } = settings[name];
      if (Object.hasOwn(idle, name)) return [];
      if (source === 'namespace' && !vault.namespaceAnnotations.includes(name)) {
        const path = `${prefix}/${name} of the namespace`;
        return [{ path, message: 'is not for a Namespace to set (vault.namespaceAnnotations)' }];
      }
      if (source === 'pod' && isOverride(name) && !agent.allowImageOverride) {
        const message = 'is not for a pod to set (agent.allowImageOverride)';
        return [{ path: `${prefix}/${name}`, message }];
      }
      return [];
    });
  return problems;
}

function isOverride(name: SettingName): boolean {
  return (AGENT_OVERRIDES as readonly SettingName[]).includes(name);
}
