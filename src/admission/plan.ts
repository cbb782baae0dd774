/**
 * Chooses what a pod gets: a volume of the CSI driver, or an agent.
 */
import type { InjectionPlan, PlanInput } from './injection-types.ts';
import { planAgent } from './plan-agent.ts';
import { planCsi } from './plan-csi.ts';

/**
 * Plans the injection of a pod that requests it. If `csi` is only a default and this pod cannot have it, it gets an
 * agent, and a warning with the reason.
 */
export function planInjection(input: PlanInput): InjectionPlan {
  const { value, source } = input.settings.settings.mode;
  if (value !== 'csi') return planAgent(input);
  const csi = planCsi(input);
  if (source === 'pod' || csi.planned !== undefined) return csi;
  const agent = planAgent(input);
  const common = new Set(agent.problems.map(({ message }) => message));
  const path = `${input.installation.annotationPrefix}/mode`;
  const reasons = csi.problems
    .filter(({ message }) => !common.has(message))
    .map(
      (one) => `${path} csi of the ${source} does not fit this pod: ${one.path}: ${one.message}`,
    );
  return { ...agent, warnings: [...reasons, ...agent.warnings] };
}
