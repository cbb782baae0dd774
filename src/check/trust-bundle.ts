/**
 * Checks the ClusterTrustBundles with the CA of a connection, and the kubelets that project them.
 */
import type { TrustBundle } from '../config/installation/index.ts';
import { nodesBefore, type ApiObject } from '../kubernetes/index.ts';
import { RESOURCE, type Resource } from './cluster.ts';
import { textAt, type Context } from './context.ts';
import { quoted, type Result } from './finding.ts';
import { checkBundle } from './pem.ts';
import { selects } from './selector.ts';

const MINOR = 37;
const GATES = 'the feature gates ClusterTrustBundle and ClusterTrustBundleProjection';
const REMEDY = 'pods that use the connection do not start: create it, or correct the values';

/** Checks what a connection's CA is made of. The message continues a sentence about the connection. */
export async function checkTrustBundle(context: Context, { source }: TrustBundle): Promise<Result> {
  const resource = await servedResource(context);
  if (resource === undefined) {
    const message = 'its CA is in ClusterTrustBundles, which this API server does not have';
    const remedy = `they require Kubernetes 1.37, or ${GATES}`;
    return { status: 'failure', message, remedy };
  }
  const found = await bundlesOf(context, resource, source);
  const what =
    'name' in source
      ? `ClusterTrustBundle ${source.name}`
      : `the ClusterTrustBundles of signer ${source.signerName}`;
  if (found.length === 0) {
    const missing =
      'name' in source ? `${what}, which does not exist` : `${what}, and none is selected`;
    return { status: 'failure', message: `its CA is in ${missing}`, remedy: REMEDY };
  }
  const pem = found.map((bundle) => textAt(bundle, 'spec', 'trustBundle')).join('\n');
  const { status, message } = checkBundle(pem, context.clock.now());
  return { status, message: `its CA in ${what} ${message}` };
}

/** Checks whether the kubelets are new enough: an older one does not start pods with such a volume. */
export async function checkKubelets({ cluster }: Context): Promise<Result> {
  const nodes = await cluster.list(RESOURCE.nodes);
  const old = nodesBefore(nodes, MINOR);
  const [first] = old;
  if (first === undefined) {
    const message = `the kubelets of all ${nodes.length} nodes have ClusterTrustBundles`;
    return { status: 'ok', message };
  }
  const example = `${quoted(first.name)} with ${quoted(first.version)}`;
  const message = `the kubelets of ${old.length} of ${nodes.length} nodes are older than 1.37, such as ${example}: without ${GATES} pods whose CA is in a ClusterTrustBundle do not start there`;
  return { status: 'warning', message, remedy: 'upgrade the nodes, or set the feature gates' };
}

async function servedResource({ cluster }: Context): Promise<Resource | undefined> {
  for (const version of ['v1', 'v1beta1']) {
    const resource = { ...RESOURCE.trustBundles, version };
    if (await cluster.serves(resource)) return resource;
  }
  return undefined;
}

async function bundlesOf(
  { cluster }: Context,
  resource: Resource,
  source: TrustBundle['source'],
): Promise<readonly ApiObject[]> {
  if ('name' in source) {
    const found = await cluster.get(resource, source.name);
    return found === undefined ? [] : [found];
  }
  const { signerName, labelSelector } = source;
  const fieldSelector = `spec.signerName=${signerName}`;
  const all = await cluster.list(resource, { fieldSelector });
  return all.filter(({ metadata }) => selects(labelSelector, metadata['labels']));
}
