/**
 * Checks that the CSI driver runs on every node, and that it is registered correctly.
 */
import type { Installation } from '../config/installation/index.ts';
import { itemsOf, type ApiObject } from '../kubernetes/index.ts';
import { RESOURCE } from './cluster.ts';
import { fieldAt, textAt, type Context, type FoundInstallation } from './context.ts';
import { runCheck, type Finding, type Result } from './finding.ts';

/** Checks the parts of the driver, if the installation has one. */
export async function* checkCsiDriver(
  context: Context,
  installed: FoundInstallation,
  installation: Installation,
): AsyncGenerator<Finding, void, undefined> {
  if (!installation.csi.enabled) return;
  const name = installed.name.replace(/-webhook$/, '-csi');
  const checks: readonly (readonly [string, () => Promise<Result>])[] = [
    ['daemonset', () => daemonSet(context, name, installed.namespace)],
    ['csi-driver', () => csiDriver(context, installation)],
    ['csi-nodes', () => nodes(context, installation.csi.driverName)],
  ];
  for (const [check, run] of checks) yield (await runCheck('csi', check, run)).finding;
}

async function daemonSet({ cluster }: Context, name: string, namespace: string): Promise<Result> {
  const found = await cluster.get(RESOURCE.daemonSets, name, namespace);
  if (found === undefined) {
    const message = `DaemonSet ${name} in namespace ${namespace} does not exist, but csi.enabled is true`;
    return { status: 'failure', message, remedy: 'upgrade the release' };
  }
  const [wanted, there, ready] = [
    'desiredNumberScheduled',
    'currentNumberScheduled',
    'numberReady',
  ].map((field) => count(fieldAt(found, 'status', field)));
  const message = `the driver is ready on ${ready} of ${wanted} nodes`;
  if (ready === wanted && wanted !== 0) return { status: 'ok', message };
  if (wanted === 0) {
    const remedy = 'check csi.nodeSelector and csi.tolerations';
    return { status: 'failure', message: 'no node is selected for the driver', remedy };
  }
  const remedy =
    there === 0
      ? `check whether the namespace allows privileged pods: kubectl --namespace ${namespace} describe daemonset/${name}`
      : `kubectl --namespace ${namespace} logs daemonset/${name}`;
  return { status: ready === 0 ? 'failure' : 'warning', message, remedy };
}

async function csiDriver({ cluster }: Context, { csi }: Installation): Promise<Result> {
  const { driverName, tokenAudiences } = csi;
  const remedy = 'upgrade the release, so that Helm creates it again';
  const found = await cluster.get(RESOURCE.csiDrivers, driverName);
  if (found === undefined) {
    const message = `CSIDriver ${driverName} does not exist: the kubelet does not pass the pod of a volume`;
    return { status: 'failure', message, remedy };
  }
  const wrong = wrongFields(found);
  if (wrong.length > 0) {
    const message = `CSIDriver ${driverName} has settings that the driver cannot work with: ${wrong.join(', ')}`;
    return { status: 'failure', message, remedy };
  }
  const requests = itemsOf(fieldAt(found, 'spec', 'tokenRequests'));
  const given = requests.map((request) => textAt(request, 'audience'));
  const missing = tokenAudiences.filter((audience) => !given.includes(audience));
  if (missing.length > 0) {
    const names = missing.map((audience) => `"${audience}"`).join(', ');
    const message = `CSIDriver ${driverName} does not request tokens for ${names} of csi.tokenAudiences`;
    return { status: 'failure', message, remedy };
  }
  const tokens = given.map((audience) => `"${audience}"`).join(', ');
  const message = `CSIDriver ${driverName} is registered, ${tokens === '' ? 'without tokens' : `with tokens for ${tokens}`}`;
  return { status: 'ok', message };
}

/** The fields that the driver requires, where the object has other values. */
function wrongFields({ spec }: ApiObject): readonly string[] {
  const flags = { podInfoOnMount: true, requiresRepublish: true, attachRequired: false };
  const wrong = Object.entries(flags).filter(([name, value]) => fieldAt(spec, name) !== value);
  const isEphemeral = itemsOf(fieldAt(spec, 'volumeLifecycleModes')).includes('Ephemeral');
  return [
    ...wrong.map(([name, value]) => `${name} must be ${value}`),
    ...(isEphemeral ? [] : ['volumeLifecycleModes must include Ephemeral']),
  ];
}

/** The kubelet lists registered drivers in the CSINode. */
async function nodes({ cluster }: Context, driverName: string): Promise<Result> {
  const all = await cluster.list(RESOURCE.csiNodes);
  const known = all.filter((node) =>
    itemsOf(fieldAt(node, 'spec', 'drivers')).some((one) => textAt(one, 'name') === driverName),
  );
  const message = `the driver is registered with the kubelets of ${known.length} of ${all.length} nodes`;
  if (known.length > 0) return { status: 'ok', message };
  const remedy = 'check that csi.kubeletDirectory is the root directory of the kubelet';
  return { status: 'failure', message, remedy };
}

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
