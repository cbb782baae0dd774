/**
 * Checks what the agent requires in a pod. Little can be checked from outside; the probe checks from inside.
 */
import type { Installation } from '../config/installation/index.ts';
import { RESOURCE } from './cluster.ts';
import type { Context } from './context.ts';
import { runCheck, type Finding, type Result } from './finding.ts';
import { probe } from './probe.ts';
import { checkQuotas } from './quotas.ts';

/** Checks the Workload API, and starts the probe if requested. */
export async function* checkPrerequisites(
  context: Context,
  installation: Installation,
): AsyncGenerator<Finding, void, undefined> {
  const group = 'prerequisites';
  yield (await runCheck(group, 'workload-api', () => workloadApi(context, installation))).finding;
  yield (await runCheck(group, 'quotas', () => checkQuotas(context, installation))).finding;
  const { probe: wanted } = context;
  if (wanted === undefined) return;
  yield (await runCheck(group, 'probe', () => probe(context, installation, wanted))).finding;
}

const PROBE_REMEDY = '--probe NAMESPACE/SERVICEACCOUNT checks from inside a pod';

async function workloadApi({ cluster }: Context, { spiffe }: Installation): Promise<Result> {
  const { volume, csiDriver, hostPath, socket } = spiffe;
  if (volume === 'none') {
    return { status: 'ok', message: `pods get no volume for the Workload API at ${socket}` };
  }
  if (volume === 'hostPath') {
    const message = `could not be checked: the socket in ${hostPath} of each node is not visible from outside`;
    return { status: 'unknown', message, remedy: PROBE_REMEDY };
  }
  if ((await cluster.get(RESOURCE.csiDrivers, csiDriver)) !== undefined) {
    return { status: 'ok', message: `the CSI driver ${csiDriver} is registered` };
  }
  // Pods that log in with service-account tokens do not need it.
  const message = `CSI driver ${csiDriver} is not registered: pods with the identity spiffe cannot start`;
  const remedy = 'install the SPIFFE CSI driver, or set spiffe.volume and spiffe.csiDriver';
  return { status: 'warning', message, remedy };
}
