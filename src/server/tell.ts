/**
 * What is told of a decision to those who look at the pod's owner. Pure. Ring: server.
 */
import { REASONS, type InjectionResult, type Pod, type Reason } from '../admission/index.ts';

/** An Event to be, in Kubernetes' words. */
export interface Notice {
  readonly namespace: string;
  readonly regarding: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: 'Normal' | 'Warning';
  readonly reason: 'Injected' | 'NotInjected' | 'Denied' | 'PolicyRefused';
  readonly note: string;
}

/** Skips that somebody may wonder about; the others are as everybody expects. */
const TOLD_SKIPS: readonly Reason[] = ['excluded_namespace', 'nothing_requested'];

/** The notice of a decision; undefined where nobody wonders, or nobody is there who could be told. */
export function noticeOf(
  pod: Pod,
  namespace: string,
  result: Pick<InjectionResult, 'outcome' | 'reason' | 'problems' | 'warnings'>,
): Notice | undefined {
  const regarding = ownerOf(pod);
  const told = wordsOf(result);
  return regarding === undefined || told === undefined
    ? undefined
    : { namespace, regarding, ...told };
}

/** The notice of a pod that was denied because its namespace could not be read. */
export function namespaceNotice(pod: Pod, namespace: string): Notice | undefined {
  const regarding = ownerOf(pod);
  if (regarding === undefined) return undefined;
  const note = 'The annotations of the namespace cannot be read now; it is tried again.';
  return { namespace, regarding, type: 'Warning', reason: 'Denied', note };
}

function wordsOf({
  outcome,
  reason,
  problems,
  warnings,
}: Parameters<typeof noticeOf>[2]): Pick<Notice, 'type' | 'reason' | 'note'> | undefined {
  const why = REASONS[reason];
  if (outcome === 'injected') return { type: 'Normal', reason: 'Injected', note: why };
  if (outcome === 'skipped') {
    const isTold =
      TOLD_SKIPS.includes(reason) || (reason === 'not_requested' && warnings.length > 0);
    return isTold ? { type: 'Normal', reason: 'NotInjected', note: why } : undefined;
  }
  if (reason === 'forbidden') {
    // Refusals name policies and what they allow, never what was asked for but for Vault paths.
    const list = problems.map(({ path, message }) => `${path}: ${message}`).join('; ');
    return { type: 'Warning', reason: 'PolicyRefused', note: `${why} ${list}` };
  }
  // Whoever created the pod was told everything; here the places must do, for problems may quote what was given.
  const places = [...new Set(problems.map(({ path }) => path))].join(', ');
  return { type: 'Warning', reason: 'Denied', note: `${why} See ${places}.` };
}

/** The controller, else a pod that has a name already: one with `generateName` gets its own after admission. */
function ownerOf({ metadata }: Pod): Notice['regarding'] | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner !== undefined) {
    const { apiVersion, kind, name, uid } = owner;
    if (typeof kind !== 'string' || typeof name !== 'string') return undefined;
    return {
      apiVersion: typeof apiVersion === 'string' ? apiVersion : 'v1',
      ...{ kind, name },
      ...(typeof uid === 'string' && { uid }),
    };
  }
  const { name } = metadata;
  return typeof name === 'string' && name !== ''
    ? { apiVersion: 'v1', kind: 'Pod', name }
    : undefined;
}
