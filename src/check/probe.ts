/**
 * Runs a pod that gets an identity, logs in to Vault and ends; the result is in its termination message.
 */
import { INIT_CONTAINER } from '../admission/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { fieldsOf, hasCode } from '../core/index.ts';
import { itemsOf, serverMessageOf, statusOf, type ApiObject } from '../kubernetes/index.ts';
import { hasInjectedVolume } from './agent-status.ts';
import { RESOURCE, rightOf } from './cluster.ts';
import { fieldAt, textAt, type Context, type ProbeOptions } from './context.ts';
import { errorPage } from './error-page.ts';
import { quoted, type Result } from './finding.ts';
import { restrictedPod } from './pod.ts';

/** The agent gives up after this time. */
const INIT_DEADLINE = '45s';
/** Time for the image, the volumes and the agent. */
const PATIENCE_MS = 120_000;
const POLL_MS = 1000;

/** Vault's policy `default` allows every token to look itself up; nothing of the answer is written to the file. */
const TEMPLATE = '{{#with (secret "auth/token/lookup-self")}}logged in{{/with}}';

/** Starts the pod, waits for its end and deletes it. */
export async function probe(
  context: Context,
  installation: Installation,
  wanted: ProbeOptions,
): Promise<Result> {
  const { cluster } = context;
  const { namespace } = wanted;
  let pod: ApiObject;
  try {
    pod = await cluster.createPod(podOf(installation, wanted), namespace, false);
  } catch (error) {
    return resultOfError(error, namespace);
  }
  const { name = '' } = pod.metadata;
  let result: Result;
  let isLeft = false;
  try {
    const isInjected =
      itemsOf(fieldAt(pod, 'spec', 'initContainers')).some(isAgent) ||
      hasInjectedVolume(pod, installation.annotationPrefix);
    const message = `the pod was not injected: check that the webhook is called for namespace ${namespace}`;
    result = isInjected
      ? await waitForEnd(context, name, namespace)
      : { status: 'failure', message };
  } finally {
    isLeft = await cluster.deletePod(name, namespace).then(
      () => false,
      () => true,
    );
  }
  if (!isLeft) return result;
  const remedy = `the pod could not be deleted: kubectl --namespace ${namespace} delete pod ${name}`;
  return { ...result, status: result.status === 'ok' ? 'warning' : result.status, remedy };
}

function podOf({ annotationPrefix, agent }: Installation, probed: ProbeOptions): object {
  const { serviceAccount, settings } = probed;
  const all = {
    inject: 'true',
    mode: 'init',
    'init-deadline': INIT_DEADLINE,
    'template-check': TEMPLATE,
    ...settings,
  };
  const annotations = Object.fromEntries(
    Object.entries(all).map(([name, text]) => [`${annotationPrefix}/${name}`, text]),
  );
  return restrictedPod({
    annotations,
    container: {
      image: agent.image,
      imagePullPolicy: agent.imagePullPolicy,
      command: ['/vouchsafe/node', '--version'],
    },
    spec: {
      // The cluster also ends it, in case it is never deleted.
      activeDeadlineSeconds: PATIENCE_MS / 1000,
      ...(serviceAccount !== undefined && { serviceAccountName: serviceAccount }),
    },
  });
}

function resultOfError(error: unknown, namespace: string): Result {
  if (!hasCode(error, 'ERR_KUBERNETES_API')) throw error;
  const refusal = serverMessageOf(error);
  if (refusal === undefined) throw error;
  const said = quoted(refusal);
  if (statusOf(error) === 403 && said.includes('cannot create resource')) {
    const needs = rightOf('create', RESOURCE.pods, namespace);
    return { status: 'unknown', message: `could not be checked: ${needs}` };
  }
  return { status: 'failure', message: `the pod was denied: ${said}` };
}

async function waitForEnd(
  { cluster, clock, signal }: Context,
  name: string,
  namespace: string,
): Promise<Result> {
  const endMs = clock.monotonicMs() + PATIENCE_MS;
  let waiting = 'it was not scheduled';
  while (clock.monotonicMs() < endMs) {
    const pod = await cluster.get(RESOURCE.pods, name, namespace);
    if (pod === undefined)
      return { status: 'failure', message: 'the pod was deleted before it ended' };
    const result = resultOfPod(pod);
    if (result !== undefined) return result;
    waiting = waitingReason(pod) || waiting;
    await clock.sleep(POLL_MS, signal);
  }
  const event = await lastWarning(cluster, name, namespace);
  const message = `the pod did not end within ${PATIENCE_MS / 1000} s: ${event || waiting}`;
  return { status: 'failure', message };
}

/** Undefined while the agent has not ended. */
function resultOfPod(pod: ApiObject): Result | undefined {
  const state = fieldAt(agentStatus(pod), 'state', 'terminated');
  if (state === undefined) {
    const isOver = textAt(pod, 'status', 'phase') === 'Failed';
    const said = quoted(textAt(pod, 'status', 'message') || textAt(pod, 'status', 'reason'));
    return isOver ? { status: 'failure', message: `the pod failed: ${said}` } : undefined;
  }
  if (fieldsOf(state)['exitCode'] === 0) {
    const message = 'a pod got its identity, logged in to Vault and wrote its file';
    return { status: 'ok', message };
  }
  const said = quoted(textAt(state, 'message') || textAt(state, 'reason'));
  const remedy = errorPage(said);
  return { status: 'failure', message: `the agent in the pod failed: ${said}`, remedy };
}

/** In mode csi there is no agent; the container of the pod starts when the files exist. */
function agentStatus(pod: ApiObject): unknown {
  return (
    itemsOf(fieldAt(pod, 'status', 'initContainerStatuses')).find(isAgent) ??
    itemsOf(fieldAt(pod, 'status', 'containerStatuses'))[0]
  );
}

function isAgent(container: unknown): boolean {
  return textAt(container, 'name') === INIT_CONTAINER;
}

function waitingReason(pod: ApiObject): string {
  const waiting = fieldAt(agentStatus(pod), 'state', 'waiting');
  return quoted(`${textAt(waiting, 'reason')} ${textAt(waiting, 'message')}`);
}

/** The last warning of the kubelet about a volume or an image; empty without the right to list events. */
async function lastWarning(
  cluster: Context['cluster'],
  name: string,
  namespace: string,
): Promise<string> {
  const fieldSelector = `involvedObject.name=${name},type=Warning`;
  try {
    const events = await cluster.list(RESOURCE.events, { namespace, fieldSelector });
    return quoted(textAt(events.at(-1), 'message'));
  } catch (error) {
    if (statusOf(error) === 403) return '';
    throw error;
  }
}
