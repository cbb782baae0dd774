/**
 * Pod in, patched pod and report out. Pure: the same function serves the webhook and `vouchsafe inject`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { RawAgentConfig } from '../config/agent/index.ts';
import { resolveSettings, type ResolvedSettings } from '../config/annotations/index.ts';
import { formatProblems, type Problem } from '../core/index.ts';
import { assemble } from './assemble.ts';
import { checkOncePerTemplate } from './file-checks.ts';
import { hasInjection, hasRecord, removeInjection } from './injection-record.ts';
import type { InjectionInput } from './injection-types.ts';
import { keepOwnParts } from './own-parts.ts';
import { settingsAmongLabels } from './misplaced-settings.ts';
import { planInjection } from './plan.ts';
import type { Pod } from './pod.ts';

/** Reasons of an outcome. They are labels of metrics: a closed, small set. */
export const REASONS = {
  requested: 'The pod requests injection.',
  already_injected: 'The pod is already injected.',
  not_requested: 'Neither the pod nor its namespace sets the annotation inject to "true".',
  nothing_requested: 'The namespace requests injection, but the pod configures no file.',
  excluded_namespace: 'The namespace is excluded from injection.',
  invalid: 'Settings are not valid, or conflict with each other or the pod.',
  forbidden: 'The installation does not allow what the pod requests.',
} as const;
/** One of {@link REASONS}. */
export type Reason = keyof typeof REASONS;

/** The result for a pod. */
export interface InjectionResult {
  readonly outcome: 'injected' | 'skipped' | 'denied';
  readonly reason: Reason;
  /** One sentence, or one line per problem. */
  readonly message: string;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** The patched pod; the input pod unless `outcome` is `injected`. */
  readonly pod: Pod;
  /** Every setting with its source, for `explain`. */
  readonly settings: ResolvedSettings;
  /** The configuration of the agent or the volume; present if `outcome` is `injected`. */
  readonly agentConfig?: RawAgentConfig;
}

/** Decides on a pod and injects it. Deterministic and idempotent: its own output is left as it is. */
export function inject(input: InjectionInput): InjectionResult {
  const { pod, installation } = input;
  const prefix = installation.annotationPrefix;
  const settings = settingsOf(input);
  const early = earlyResult(input, settings);
  if (early !== undefined) return early;
  const original = removeInjection(pod, prefix);
  const checkTemplate = checkOncePerTemplate(input.checkTemplate);
  const plan = planInjection({ ...input, pod: original, settings, checkTemplate });
  const warnings = [...settings.warnings, ...plan.warnings];
  const { planned, problems } = plan;
  if (planned === undefined) {
    const reason = plan.isForbidden ? 'forbidden' : 'invalid';
    const message = formatProblems(problems);
    return { outcome: 'denied', reason, message, problems, warnings, pod, settings };
  }
  const { addition, config } = planned;
  const assembled = assemble(original, addition);
  if (!hasInjection(pod, prefix)) {
    if (hasRecord(pod, prefix)) warnings.push(copiedRecord(prefix));
    return requested({ warnings, pod: assembled, settings, agentConfig: config });
  }
  const repaired = keepOwnParts(assembled, pod);
  if (!isDeepStrictEqual(repaired, pod)) {
    return requested({ warnings, pod: repaired, settings, agentConfig: config });
  }
  const reason = 'already_injected';
  const message = REASONS[reason];
  return { outcome: 'skipped', reason, message, problems, warnings, pod, settings };
}

function settingsOf({ pod, namespaceAnnotations, installation }: InjectionInput): ResolvedSettings {
  const prefix = installation.annotationPrefix;
  const settings = resolveSettings({
    prefix,
    pod: pod.metadata.annotations ?? {},
    namespace: namespaceAnnotations,
    installation: installation.defaults,
  });
  const warnings = [...settingsAmongLabels(pod, prefix), ...settings.warnings];
  return { ...settings, warnings };
}

function requested(
  result: Pick<InjectionResult, 'warnings' | 'pod' | 'settings' | 'agentConfig'>,
): InjectionResult {
  const reason = 'requested';
  return { outcome: 'injected', reason, message: REASONS[reason], problems: [], ...result };
}

function copiedRecord(prefix: string): string {
  return `${prefix}/status is injected, but the injected parts are missing (copied from a running pod?): they are added`;
}

/** True if the pod itself requests files or variables. */
function hasItems({ files, variables }: ResolvedSettings): boolean {
  return files.length + variables.length > 0;
}

/** Results that do not depend on the pod's containers. */
function earlyResult(
  { pod, namespace, installation }: InjectionInput,
  settings: ResolvedSettings,
): InjectionResult | undefined {
  const prefix = installation.annotationPrefix;
  const requestedBy = settings.settings.inject;
  const skipped = (reason: Reason, warnings: readonly string[]): InjectionResult => {
    const message = REASONS[reason];
    return { outcome: 'skipped', reason, message, problems: [], warnings, pod, settings };
  };
  const isMisspelt = settings.problems.some(({ path }) => path.startsWith(`${prefix}/inject`));
  if (!requestedBy.value && !isMisspelt) {
    const isInjectMissing = requestedBy.source === 'built in' && hasItems(settings);
    const warning = `the pod requests files or variables, but no injection: set ${prefix}/inject: "true"`;
    return skipped('not_requested', [...settings.warnings, ...(isInjectMissing ? [warning] : [])]);
  }
  if (installation.webhook.excludedNamespaces.includes(namespace)) {
    return skipped('excluded_namespace', [
      `pods of namespace ${namespace} are never injected: ${prefix}/inject has no effect`,
    ]);
  }
  const requestsNothing = !hasItems(settings) && !settings.settings['x509-svid'].value;
  if (requestsNothing && requestedBy.source === 'namespace' && settings.problems.length === 0) {
    return skipped('nothing_requested', settings.warnings);
  }
  return undefined;
}
