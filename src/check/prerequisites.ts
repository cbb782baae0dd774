/**
 * Is there what the agent needs in a pod? From outside little is to be seen; the probe looks from inside.
 */
import type { Installation } from '../config/index.ts';
import { RESOURCE } from './cluster.ts';
import type { Context } from './context.ts';
import { runCheck, type Finding, type Result } from './finding.ts';
import { probe } from './probe.ts';

/** Looks for the Workload API, and starts the probe where it was asked for. */
export async function* checkPrerequisites(
  context: Context,
  installation: Installation,
): AsyncGenerator<Finding, void, undefined> {
  const group = 'prerequisites';
  yield (await runCheck(group, 'workload-api', () => workloadApi(context, installation))).finding;
  const { probe: wanted } = context;
  if (wanted === undefined) return;
  yield (await runCheck(group, 'probe', () => probe(context, installation, wanted))).finding;
}

const PROBE_REMEDY = '--probe NAMESPACE/SERVICEACCOUNT looks from inside a pod';

async function workloadApi({ cluster }: Context, { spiffe }: Installation): Promise<Result> {
  const { volume, csiDriver, hostPath, socket } = spiffe;
  if (volume === 'none') {
    return { status: 'ok', message: `pods are given no volume for the Workload API at ${socket}` };
  }
  if (volume === 'hostPath') {
    const message = `could not be checked: whether the socket is in ${hostPath} of each node is not to be seen from outside`;
    return { status: 'unknown', message, remedy: PROBE_REMEDY };
  }
  if ((await cluster.get(RESOURCE.csiDrivers, csiDriver)) !== undefined) {
    return { status: 'ok', message: `the CSI driver ${csiDriver} is registered` };
  }
  // Pods that log in with service-account tokens need none.
  const message = `there is no CSI driver ${csiDriver}: pods with the identity spiffe cannot start`;
  const remedy = 'install the SPIFFE CSI driver, or set spiffe.volume and spiffe.csiDriver';
  return { status: 'warning', message, remedy };
}
