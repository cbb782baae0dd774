/**
 * How the agent of an injected pod fares, by what the kubelet says of its containers. Ring: check.
 */
import { AGENT_CONTAINER, INIT_CONTAINER } from '../admission/index.ts';
import { formatDuration } from '../core/index.ts';
import { itemsOf, type ApiObject } from '../kubernetes/index.ts';
import { fieldAt, textAt } from './context.ts';
import { quoted, type Result } from './finding.ts';

/** An agent that started this short a time ago may still be waiting for its files: the default `init-deadline`. */
const PATIENCE_MS = 120_000;
const AGENTS: readonly string[] = [AGENT_CONTAINER, INIT_CONTAINER];

/** True where a pod was injected and has the containers. */
export function hasAgent(pod: ApiObject, prefix: string): boolean {
  const isMarked = pod.metadata.annotations?.[`${prefix}/injected`] !== undefined;
  return isMarked && listed(pod, 'spec', ['initContainers', 'containers']).some(isAgent);
}

/** What is wrong with the agent; undefined where nothing is. */
export function agentTrouble(pod: ApiObject, nowMs: number): Result | undefined {
  const fields = ['initContainerStatuses', 'containerStatuses'];
  const statuses = listed(pod, 'status', fields).filter(isAgent);
  for (const status of statuses) {
    const said = complaint(status);
    if (said !== undefined) {
      const remedy = 'the code is explained in the README, section Errors';
      return { status: 'failure', message: `its agent fails: ${said}`, remedy };
    }
  }
  const ageMs = nowMs - Date.parse(textAt(pod, 'metadata', 'creationTimestamp'));
  const isReady = statuses.every((status) => fieldAt(status, 'ready') === true);
  if (ageMs < PATIENCE_MS || (statuses.length > 0 && isReady)) return undefined;
  const patience = formatDuration(PATIENCE_MS);
  const message = `its agent is not ready after more than ${patience}`;
  return { status: 'warning', message, remedy: `kubectl describe pod ${pod.metadata.name ?? ''}` };
}

/** Why the container stands still or ended last, unless it is ready. */
function complaint(status: unknown): string | undefined {
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
