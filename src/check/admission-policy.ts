/**
 * Is there what catches pods that the webhook did not see?
 */
import { itemsOf } from '../kubernetes/index.ts';
import { RESOURCE } from './cluster.ts';
import { fieldAt, isBefore, type Context, type FoundInstallation } from './context.ts';
import { runCheck, type Finding, type Result } from './finding.ts';

/** Its absence is a choice that the chart offers: a warning. */
export async function* checkAdmissionPolicy(
  { cluster }: Context,
  { name }: FoundInstallation,
  version: string,
): AsyncGenerator<Finding, void, undefined> {
  const policyName = `${name.replace(/-webhook$/, '')}-injected`;
  const run = async (): Promise<Result> => {
    const effect = 'a pod that gets past the webhook starts without its secrets';
    if (isBefore(version, 30)) {
      const message = `Kubernetes ${version} has no ValidatingAdmissionPolicy: ${effect}`;
      return { status: 'warning', message };
    }
    const remedy = 'admissionPolicy.enabled: true of the chart makes them';
    if ((await cluster.get(RESOURCE.policies, policyName)) === undefined) {
      const message = `there is no ValidatingAdmissionPolicy ${policyName}: ${effect}`;
      return { status: 'warning', message, remedy };
    }
    const binding = await cluster.get(RESOURCE.policyBindings, policyName);
    if (binding === undefined) {
      const message = `the ValidatingAdmissionPolicy ${policyName} is not bound: ${effect}`;
      return { status: 'warning', message, remedy };
    }
    const denies = itemsOf(fieldAt(binding, 'spec', 'validationActions')).includes('Deny');
    const message = `${policyName} ${denies ? 'refuses' : 'warns about'} pods that the webhook did not see`;
    return { status: 'ok', message };
  };
  yield (await runCheck('admission-policy', 'bound', run)).finding;
}
