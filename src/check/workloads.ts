/**
 * Finds workloads with settings that their pods do not get, such as annotations of a Deployment instead of its template.
 */
import { misplacedSettings, ownerOf, podTemplatesOf } from '../admission/index.ts';
import { hasCode } from '../core/index.ts';
import { itemsOf, statusOf, type ApiObject } from '../kubernetes/index.ts';
import { RESOURCE, type Resource } from './cluster.ts';
import { fieldAt, textAt, type Context } from './context.ts';
import { quoted, runCheck, type Finding, type ResultWith } from './finding.ts';

/** What people write; objects that a controller creates from them are left out. */
const WORKLOADS: readonly (readonly [string, Resource])[] = [
  ['Deployment', RESOURCE.deployments],
  ['StatefulSet', { group: 'apps', plural: 'statefulsets' }],
  ['DaemonSet', RESOURCE.daemonSets],
  ['CronJob', { group: 'batch', plural: 'cronjobs' }],
  ['Job', { group: 'batch', plural: 'jobs' }],
  ['Rollout', { group: 'argoproj.io', version: 'v1alpha1', plural: 'rollouts' }],
  ['Service', { group: 'serving.knative.dev', plural: 'services' }],
  ['DeploymentConfig', { group: 'apps.openshift.io', plural: 'deploymentconfigs' }],
];

/** Yields one finding for each place with such settings; nothing where there are none. */
export async function* checkWorkloads(
  context: Context,
  prefix: string,
): AsyncGenerator<Finding, void, undefined> {
  const missing = new Set<string>();
  for (const [kind, resource] of WORKLOADS) {
    const run = (): Promise<ResultWith<readonly ApiObject[]>> => list(context, resource);
    const { value, finding } = await runCheck('pods', 'workloads', run);
    if (finding.status === 'unknown') missing.add(finding.message);
    else if (value === undefined) yield finding;
    const { group, version = 'v1' } = resource;
    const apiVersion = group === '' ? version : `${group}/${version}`;
    for (const object of value ?? []) yield* misplaced({ apiVersion, kind, ...object }, prefix);
  }
  if (missing.size === 0) return;
  const message = [...missing].join('; ');
  yield { group: 'pods', check: 'workloads', status: 'unknown', message };
}

/** Empty for a group that the cluster does not have, which the right to list it would not show. */
async function list(
  { cluster, namespace }: Context,
  resource: Resource,
): Promise<ResultWith<readonly ApiObject[]>> {
  const none = { status: 'ok', message: '', value: [] } as const;
  if (!(await cluster.serves(resource))) return none;
  try {
    return { status: 'ok', message: '', value: await cluster.list(resource, { namespace }) };
  } catch (error) {
    if (statusOf(error) === 404) return none;
    throw error;
  }
}

function* misplaced(object: ApiObject, prefix: string): Generator<Finding> {
  if (itemsOf(fieldAt(object, 'metadata', 'ownerReferences')).some(isController)) return;
  const place = `${textAt(object, 'metadata', 'namespace')}: ${quoted(ownerOf(object))}`;
  for (const text of textsOf(object, prefix)) {
    const message = `${place}: ${quoted(text)}`;
    yield { group: 'pods', check: 'misplaced', status: 'warning', message };
  }
}

function isController(owner: unknown): boolean {
  return fieldAt(owner, 'controller') === true;
}

function textsOf(object: ApiObject, prefix: string): readonly string[] {
  try {
    return misplacedSettings(object, { prefix, templates: podTemplatesOf(object) });
  } catch (error) {
    if (!hasCode(error, 'ERR_ADMISSION_MALFORMED')) throw error;
    return [];
  }
}
