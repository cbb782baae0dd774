/**
 * Finds running pods that request the agent but have none, and pods whose agent fails. Pods of one owner with the same
 * result are one finding.
 */
import { inject, readPod, settingsAmongLabels, type Pod } from '../admission/index.ts';
import type { Annotations, ResolvedSettings } from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { fieldsOf, hasCode, toVouchsafeError } from '../core/index.ts';
import { type ApiObject } from '../kubernetes/index.ts';
import {
  agentProblem,
  hasAgent,
  hasInjectedVolume,
  hasVolumeOf,
  volumeProblem,
} from './agent-status.ts';
import { RESOURCE } from './cluster.ts';
import { textAt, type Context, type FoundInstallation } from './context.ts';
import { quoted, runCheck, type ResultWith, type Finding, type Result } from './finding.ts';
import { controllerOf, explainMissedPod } from './missed-pod.ts';

/** Metadata of a namespace. */
interface Namespace {
  readonly annotations: Annotations;
  readonly labels: unknown;
}

/** The input for the check of a pod. */
interface PodCheckInput {
  readonly context: Context;
  readonly installed: FoundInstallation;
  readonly installation: Installation;
  readonly version: string;
  /** Undefined where it is not known. */
  readonly namespaces: ReadonlyMap<string, Namespace> | undefined;
}

/** Checks every pod that is running or pending. */
export async function* checkPods(
  context: Context,
  installed: FoundInstallation,
  found: Pick<PodCheckInput, 'installation' | 'version'>,
): AsyncGenerator<Finding, void, undefined> {
  const listed = await runCheck('pods', 'list', () => runningPods(context));
  if (listed.value === undefined) {
    yield listed.finding;
    return;
  }
  const named = await runCheck('pods', 'namespaces', () => namespacesOf(context));
  if (named.value === undefined) yield named.finding;
  const surroundings = { context, installed, ...found, namespaces: named.value };
  const { findings, injected } = checkAll(listed.value, surroundings);
  const where = context.namespace === undefined ? '' : ` of namespace ${context.namespace}`;
  const { csi } = found.installation;
  const mounted = listed.value.filter((pod) => hasVolumeOf(pod, csi.driverName)).length;
  const volumes = csi.enabled ? `, with a volume of the CSI driver: ${mounted}` : '';
  const message = `running pods${where}: ${listed.value.length}, with the agent: ${injected}${volumes}`;
  yield { group: 'pods', check: 'list', status: 'ok', message };
  yield* findings;
}

async function runningPods({
  cluster,
  namespace,
}: Context): Promise<ResultWith<readonly ApiObject[]>> {
  const fieldSelector = 'status.phase!=Succeeded,status.phase!=Failed';
  const value = await cluster.list(RESOURCE.pods, { namespace, fieldSelector });
  return { status: 'ok', message: '', value };
}

async function namespacesOf(context: Context): Promise<ResultWith<ReadonlyMap<string, Namespace>>> {
  const { cluster, namespace } = context;
  const one = namespace === undefined ? [] : [await cluster.get(RESOURCE.namespaces, namespace)];
  const all = namespace === undefined ? await cluster.list(RESOURCE.namespaces) : one;
  const value = new Map(
    all.flatMap((object) => {
      if (object === undefined) return [];
      const { name = '', annotations = {}, labels = {} } = object.metadata;
      return [[name, { annotations, labels }] as const];
    }),
  );
  return { status: 'ok', message: '', value };
}

function checkAll(
  pods: readonly ApiObject[],
  surroundings: PodCheckInput,
): { readonly findings: readonly Finding[]; readonly injected: number } {
  const alike = new Map<
    string,
    { readonly result: Result; readonly owner: string; count: number }
  >();
  let injected = 0;
  for (const pod of pods) {
    if (hasAgent(pod, surroundings.installation.annotationPrefix)) injected += 1;
    const result = checkPod(pod, surroundings);
    if (result === undefined) continue;
    const owner = ownerOf(pod);
    const key = JSON.stringify([owner, result]);
    const known = alike.get(key);
    if (known === undefined) alike.set(key, { result, owner, count: 1 });
    else known.count += 1;
  }
  const findings = [...alike.values()].map(({ result, owner, count }): Finding => {
    const pods = count === 1 ? '' : `, ${count} pods`;
    const message = `${owner}${pods}: ${result.message}`;
    return { group: 'pods', check: 'injected', ...result, message };
  });
  return { findings, injected };
}

/** Undefined where there is nothing to report. */
function checkPod(object: ApiObject, surroundings: PodCheckInput): Result | undefined {
  const { installation, namespaces, context } = surroundings;
  const prefix = installation.annotationPrefix;
  const nowMs = context.clock.now();
  if (hasAgent(object, prefix)) return agentProblem(object, nowMs);
  if (hasVolumeOf(object, installation.csi.driverName)) {
    const trouble = volumeProblem(object, nowMs);
    if (trouble !== undefined || hasInjectedVolume(object, prefix)) return trouble;
  }
  const namespace = namespaces?.get(textAt(object, 'metadata', 'namespace'));
  const { annotations, labels } = object.metadata;
  const isMarked = [annotations, labels, namespace?.annotations].some((fields) =>
    Object.keys(fieldsOf(fields)).some((name) => name.startsWith(`${prefix}/`)),
  );
  if (!isMarked) return undefined;
  let pod: Pod;
  try {
    pod = readPod(object);
  } catch (error) {
    if (!hasCode(error, 'ERR_ADMISSION_MALFORMED')) throw error;
    return { status: 'failure', message: toVouchsafeError(error).message };
  }
  return checkAnnotated(object, pod, { ...surroundings, namespace });
}

function checkAnnotated(
  object: ApiObject,
  pod: Pod,
  surroundings: PodCheckInput & { readonly namespace: Namespace | undefined },
): Result | undefined {
  const { installation, installed, version, context, namespace } = surroundings;
  const prefix = installation.annotationPrefix;
  const { outcome, reason, warnings, message, settings } = inject({
    pod,
    namespace: textAt(object, 'metadata', 'namespace'),
    namespaceAnnotations: namespace?.annotations,
    installation,
    kubeVersion: version,
    checkTemplate: context.checkTemplate,
  });
  if (outcome === 'injected') {
    const { configuration } = installed;
    return explainMissedPod(object, { prefix, configuration, namespaceLabels: namespace?.labels });
  }
  if (outcome === 'denied') {
    const said = quoted(message.replaceAll('\n', '; '));
    const text = `runs without the agent, and the webhook would deny it now: ${said}`;
    return { status: 'failure', message: text };
  }
  if (reason === 'excluded_namespace') return { status: 'warning', message: warnings.join('; ') };
  if (reason !== 'not_requested') return undefined;
  const forgotten = settings.files.length === 0 ? [] : [warnings.at(-1) ?? message];
  const reasons = [...settingsAmongLabels(pod, prefix), ...forgotten];
  return reasons.length === 0 ? undefined : resultOfSkipped(reasons, settings, prefix);
}

function resultOfSkipped(
  reasons: readonly string[],
  { settings }: ResolvedSettings,
  prefix: string,
): Result {
  return settings.inject.source === 'built in'
    ? { status: 'warning', message: quoted(reasons.join('; ')) }
    : { status: 'ok', message: `left alone, because of ${prefix}/inject: "false"` };
}

/** `shop: ReplicaSet/web-5d9c` */
function ownerOf(pod: ApiObject): string {
  const { kind, name } = controllerOf(pod);
  return `${textAt(pod, 'metadata', 'namespace')}: ${quoted(`${kind}/${name}`)}`;
}
