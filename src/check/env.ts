/**
 * Checks the nodes for secrets in environment variables: a kubelet that does not support them starts containers without.
 */
import { VOLUME } from '../admission/index.ts';
import type { Installation } from '../config/installation/index.ts';
import type { NodeFacts } from '../contracts/index.ts';
import { ENV_FILES_MINOR, fieldsOf, listUpTo } from '../core/index.ts';
import { itemsOf, nodesBefore, type ApiObject } from '../kubernetes/index.ts';
import { RESOURCE } from './cluster.ts';
import { fieldAt, textAt, type Context } from './context.ts';
import { runCheck, type Finding, type Result } from './finding.ts';

/** More nodes are not named. */
const MAX_NAMED = 3;

/** Checks the kubelets, if pods may request variables. */
export async function* checkEnv(
  context: Context,
  installation: Installation,
): AsyncGenerator<Finding, void, undefined> {
  if (!installation.env.enabled) return;
  yield (await runCheck('prerequisites', 'env', () => checkNodes(context))).finding;
}

async function checkNodes({ cluster, namespace }: Context): Promise<Result> {
  const nodes = await cluster.list(RESOURCE.nodes);
  const old = nodesBefore(nodes, ENV_FILES_MINOR);
  const rule = `Kubernetes 1.${ENV_FILES_MINOR}, which secrets in environment variables require`;
  if (old.length === 0) {
    return { status: 'ok', message: `the kubelets of all ${nodes.length} nodes have ${rule}` };
  }
  const names = new Set(old.map(({ name }) => name));
  const fieldSelector = 'status.phase!=Succeeded,status.phase!=Failed';
  const pods = await cluster.list(RESOURCE.pods, { namespace, fieldSelector });
  const affected = pods.filter((pod) => {
    return names.has(textAt(pod, 'spec', 'nodeName')) && hasVariables(pod);
  });
  const message = `${old.length} of ${nodes.length} nodes are older than ${rule}: ${named(old)}`;
  const remedy = 'upgrade them; until then the webhook denies pods that may be scheduled to them';
  if (affected.length === 0) return { status: 'warning', message, remedy };
  const [first] = affected;
  const pod = `${textAt(first, 'metadata', 'namespace')}/${textAt(first, 'metadata', 'name')}`;
  const more = affected.length > 1 ? ` and ${affected.length - 1} more pods run` : ' runs';
  return {
    status: 'failure',
    message: `${message}; ${pod}${more} there without variables`,
    remedy: 'upgrade the nodes, or delete the pods, so that they are scheduled elsewhere',
  };
}

function named(nodes: readonly NodeFacts[]): string {
  const names = nodes.map(({ name, version }) => `${name} (${version})`);
  return listUpTo(names, MAX_NAMED);
}

/** Whether a pod has the volume with its variables. */
function hasVariables(pod: ApiObject): boolean {
  return itemsOf(fieldAt(pod, 'spec', 'volumes')).some(
    (volume) => fieldsOf(volume)['name'] === VOLUME.env,
  );
}
