/**
 * Explains why a pod that the webhook would inject now runs without the agent.
 */
import { itemsOf, type ApiObject } from '../kubernetes/index.ts';
import { fieldAt, textAt } from './context.ts';
import type { Result } from './finding.ts';
import { selects } from './selector.ts';
import { podsWebhook } from './webhook.ts';

/** What is known about the installation and the namespace of the pod. */
export interface MissedInput {
  readonly prefix: string;
  /** The MutatingWebhookConfiguration; undefined where it may not be read. */
  readonly configuration: ApiObject | undefined;
  /** Labels of the pod's namespace; undefined where they are not known. */
  readonly namespaceLabels: unknown;
}

interface Reason {
  readonly message: string;
  readonly remedy?: string;
}

/** The most likely reason, and what to do about it. */
export function explainMissedPod(pod: ApiObject, input: MissedInput): Result {
  const reason = notSelected(pod, input) ?? notLabelled(pod, input) ?? notSeen(pod, input);
  const message = `requests the agent but runs without it: ${reason.message}`;
  return { status: 'failure', message, remedy: reason.remedy ?? restart(pod) };
}

function notSelected(
  pod: ApiObject,
  { configuration, namespaceLabels }: MissedInput,
): Reason | undefined {
  const webhook = podsWebhook(configuration);
  if (!selects(fieldAt(webhook, 'objectSelector'), fieldAt(pod, 'metadata', 'labels'))) {
    const remedy = 'set the label on the pod template, or change the selector';
    return { message: 'its labels do not match webhook.objectSelector', remedy };
  }
  if (namespaceLabels === undefined) return undefined;
  if (selects(fieldAt(webhook, 'namespaceSelector'), namespaceLabels)) return undefined;
  const remedy = 'set the label on the namespace, or change the selector';
  return { message: 'its namespace does not match webhook.namespaceSelector', remedy };
}

/** Pods without annotations of their own are sent only where their namespace has the label. */
function notLabelled(pod: ApiObject, { prefix, namespaceLabels }: MissedInput): Reason | undefined {
  const names = Object.keys(pod.metadata.annotations ?? {});
  if (names.some((name) => name.startsWith(`${prefix}/`))) return undefined;
  if (namespaceLabels === undefined) return undefined;
  const label = `${prefix}/inject`;
  if (fieldAt(namespaceLabels, label) === 'true') return undefined;
  const message = `only its namespace requests the agent, without the label ${label}=true`;
  const remedy = `kubectl label namespace ${textAt(pod, 'metadata', 'namespace')} ${label}=true`;
  return { message, remedy };
}

function notSeen(pod: ApiObject, { configuration }: MissedInput): Reason {
  if (configuration === undefined) {
    return { message: 'the webhook configuration does not exist or may not be read' };
  }
  if (creationMs(pod) <= creationMs(configuration)) {
    return { message: 'it was created before the webhook was installed' };
  }
  const message =
    'no webhook answered when it was created, a matchCondition excluded it, or it was annotated later';
  return { message };
}

function creationMs(object: ApiObject): number {
  return Date.parse(textAt(object, 'metadata', 'creationTimestamp'));
}

function restart(pod: ApiObject): string {
  const namespace = textAt(pod, 'metadata', 'namespace');
  const { kind, name } = controllerOf(pod);
  const label = (key: string): string => textAt(pod, 'metadata', 'labels', key);
  const ofHash = (hash: string): string | undefined =>
    hash !== '' && name.endsWith(`-${hash}`) ? name.slice(0, -hash.length - 1) : undefined;
  const rollout = kind === 'ReplicaSet' ? ofHash(label('rollouts-pod-template-hash')) : undefined;
  if (rollout !== undefined) {
    return `kubectl argo rollouts --namespace ${namespace} restart ${rollout}`;
  }
  // Knative undoes changes to its Deployments.
  const isKnative = label('serving.knative.dev/revision') !== '';
  const deployment = kind === 'ReplicaSet' ? ofHash(label('pod-template-hash')) : undefined;
  if (deployment !== undefined && !isKnative) {
    return `kubectl --namespace ${namespace} rollout restart deployment/${deployment}`;
  }
  if (kind === 'StatefulSet' || kind === 'DaemonSet') {
    return `kubectl --namespace ${namespace} rollout restart ${kind.toLowerCase()}/${name}`;
  }
  const config = label('deploymentconfig');
  if (kind === 'ReplicationController' && config !== '') {
    return `oc --namespace ${namespace} rollout latest dc/${config}`;
  }
  return 'delete the pod, so that it is created again';
}

/** The controller of the pod, or the pod itself. */
export function controllerOf(pod: ApiObject): { readonly kind: string; readonly name: string } {
  const owners = itemsOf(fieldAt(pod, 'metadata', 'ownerReferences'));
  const controller = owners.find((owner) => fieldAt(owner, 'controller') === true);
  return controller === undefined
    ? { kind: 'Pod', name: pod.metadata.name ?? '' }
    : { kind: textAt(controller, 'kind'), name: textAt(controller, 'name') };
}
