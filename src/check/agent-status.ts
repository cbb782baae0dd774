/**
 * The state of the agent of an injected pod, or of a pod with a volume of the CSI driver, by the status of its
 * containers.
 */
import { AGENT_CONTAINER, INIT_CONTAINER, VOLUME } from '../admission/index.ts';
import { formatDuration } from '../core/index.ts';
import { itemsOf, type ApiObject } from '../kubernetes/index.ts';
import { fieldAt, textAt } from './context.ts';
import { errorPage } from './error-page.ts';
import { quoted, type Result } from './finding.ts';

/** A younger pod may still be waiting for its files: the default of `init-deadline`. */
const PATIENCE_MS = 120_000;
/** Reasons of the kubelet for containers that wait for volumes. */
const WAITING_REASONS: readonly string[] = ['ContainerCreating', 'PodInitializing'];
const AGENTS: readonly string[] = [AGENT_CONTAINER, INIT_CONTAINER];

/** True where a pod was injected with the containers of the agent. */
export function hasAgent(pod: ApiObject, prefix: string): boolean {
  return (
    isInjected(pod, prefix) && listed(pod, 'spec', ['initContainers', 'containers']).some(isAgent)
  );
}

/** True where a pod was injected with the volume of the CSI driver. */
export function hasInjectedVolume(pod: ApiObject, prefix: string): boolean {
  const volumes = listed(pod, 'spec', ['volumes']);
  const isOurs = (volume: unknown): boolean =>
    textAt(volume, 'name') === VOLUME.secrets && fieldAt(volume, 'csi') !== undefined;
  return isInjected(pod, prefix) && volumes.some(isOurs);
}

/** True where a pod has a volume of the driver, injected or written by hand. */
export function hasVolumeOf(pod: ApiObject, driverName: string): boolean {
  return listed(pod, 'spec', ['volumes']).some(
    (volume) => textAt(volume, 'csi', 'driver') === driverName,
  );
}

/** The problem of a pod with a volume of the driver; undefined where it has none. */
export function volumeProblem(pod: ApiObject, nowMs: number): Result | undefined {
  const statuses = listed(pod, 'status', ['initContainerStatuses', 'containerStatuses']);
  const isWaiting =
    textAt(pod, 'status', 'phase') === 'Pending' &&
    textAt(pod, 'spec', 'nodeName') !== '' &&
    statuses.every((status) =>
      WAITING_REASONS.includes(textAt(status, 'state', 'waiting', 'reason')),
    );
  if (!isWaiting || ageOf(pod, nowMs) < PATIENCE_MS) return undefined;
  const message = `has been waiting for its volumes for more than ${formatDuration(PATIENCE_MS)}; the reason is in its events`;
  const namespace = textAt(pod, 'metadata', 'namespace');
  const remedy = `kubectl --namespace ${namespace} describe pod ${pod.metadata.name ?? ''}`;
  return { status: 'warning', message, remedy };
}

/** The problem of the agent; undefined where it has none. */
export function agentProblem(pod: ApiObject, nowMs: number): Result | undefined {
  const fields = ['initContainerStatuses', 'containerStatuses'];
  const statuses = listed(pod, 'status', fields).filter(isAgent);
  for (const status of statuses) {
    const said = failureOf(status);
    if (said !== undefined) {
      const remedy = errorPage(said);
      return { status: 'failure', message: `its agent fails: ${said}`, remedy };
    }
  }
  const isReady = statuses.every((status) => fieldAt(status, 'ready') === true);
  if (ageOf(pod, nowMs) < PATIENCE_MS || (statuses.length > 0 && isReady)) return undefined;
  const patience = formatDuration(PATIENCE_MS);
  const message = `its agent is not ready after more than ${patience}`;
  return { status: 'warning', message, remedy: `kubectl describe pod ${pod.metadata.name ?? ''}` };
}

function isInjected(pod: ApiObject, prefix: string): boolean {
  return pod.metadata.annotations?.[`${prefix}/injected`] !== undefined;
}

function ageOf(pod: ApiObject, nowMs: number): number {
  return nowMs - Date.parse(textAt(pod, 'metadata', 'creationTimestamp'));
}

/** Why the container is waiting or last terminated, unless it is ready. */
function failureOf(status: unknown): string | undefined {
  if (fieldAt(status, 'ready') === true) return undefined;
  const ends = [fieldAt(status, 'state', 'terminated'), fieldAt(status, 'lastState', 'terminated')];
  const failed = ends.find((end) => end !== undefined && fieldAt(end, 'exitCode') !== 0);
  if (failed !== undefined) return quoted(textAt(failed, 'message') || textAt(failed, 'reason'));
  const waiting = fieldAt(status, 'state', 'waiting');
  const reason = textAt(waiting, 'reason');
  if (reason === '' || reason === 'PodInitializing' || reason === 'ContainerCreating') {
    return undefined;
  }
  return quoted(`${reason} ${textAt(waiting, 'message')}`);
}

function listed(pod: ApiObject, part: string, fields: readonly string[]): readonly unknown[] {
  return fields.flatMap((field) => itemsOf(fieldAt(pod, part, field)));
}

function isAgent(container: unknown): boolean {
  return AGENTS.includes(textAt(container, 'name'));
}
