/**
 * Checks the ValidatingAdmissionPolicy that catches pods that bypassed the webhook.
 */
import { itemsOf } from '../kubernetes/index.ts';
import { RESOURCE } from './cluster.ts';
import { isBefore } from '../core/index.ts';
import { fieldAt, type Context, type FoundInstallation } from './context.ts';
import { runCheck, type Finding, type Result } from './finding.ts';

/** Its absence is only a warning, because the chart makes it optional. */
export async function* checkAdmissionPolicy(
  { cluster }: Context,
  { name }: FoundInstallation,
  version: string,
): AsyncGenerator<Finding, void, undefined> {
  const policyName = `${name.replace(/-webhook$/, '')}-injected`;
  const run = async (): Promise<Result> => {
    const effect = 'a pod that bypasses the webhook starts without its secrets';
    if (isBefore(version, 30)) {
      const message = `Kubernetes ${version} has no ValidatingAdmissionPolicy: ${effect}`;
      return { status: 'warning', message };
    }
    const remedy = 'set admissionPolicy.enabled: true in the values of the chart';
    if ((await cluster.get(RESOURCE.policies, policyName)) === undefined) {
      const message = `ValidatingAdmissionPolicy ${policyName} does not exist: ${effect}`;
      return { status: 'warning', message, remedy };
    }
    const binding = await cluster.get(RESOURCE.policyBindings, policyName);
    if (binding === undefined) {
      const message = `ValidatingAdmissionPolicy ${policyName} has no binding: ${effect}`;
      return { status: 'warning', message, remedy };
    }
    const denies = itemsOf(fieldAt(binding, 'spec', 'validationActions')).includes('Deny');
    const message = `${policyName} ${denies ? 'denies' : 'warns about'} pods that bypassed the webhook`;
    return { status: 'ok', message };
  };
  yield (await runCheck('admission-policy', 'bound', run)).finding;
}
