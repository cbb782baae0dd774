/**
 * Turns a decision into a Kubernetes Event on the owner of the pod. Pure.
 *
 * The webhook cannot know who calls, so an Event contains no text of the request: only sentences, counts and names of
 * settings of this product. An owner that does not have the form of an object reference gets no Event.
 */
import { REASONS, type InjectionResult, type Pod, type Reason } from '../admission/index.ts';
import { classify } from '../config/annotations/index.ts';
import type { EventDetails, ObjectReference } from '../contracts/index.ts';
import type { Problem } from '../core/index.ts';

/** An Event of the webhook. */
export type AdmissionEvent = EventDetails<'Injected' | 'NotInjected' | 'Denied' | 'PolicyRefused'>;

/** The only skip that gets an Event: annotations were set, but nothing was requested. All others are expected. */
const REPORTED_SKIP: Reason = 'nothing_requested';

/** Most settings or policies that a note lists. */
const MAX_LISTED = 8;

/**
 * The Event of a decision; undefined where the decision is as expected, or the pod has no owner that could show it.
 * `prefix` is that of the annotations: `vouchsafe.dev`.
 */
export function eventFor(
  pod: Pod,
  namespace: string,
  result: Pick<InjectionResult, 'outcome' | 'reason' | 'problems' | 'warnings'>,
  prefix: string,
): AdmissionEvent | undefined {
  const regarding = ownerOf(pod);
  const text = eventText(result, prefix);
  return regarding === undefined || text === undefined
    ? undefined
    : { namespace, regarding, ...text };
}

/** The Event of a pod that was denied because its namespace could not be read. */
export function unreadableNamespaceEvent(pod: Pod, namespace: string): AdmissionEvent | undefined {
  const regarding = ownerOf(pod);
  if (regarding === undefined) return undefined;
  const note =
    'The annotations of the namespace could not be read; the pod is denied until they can.';
  return { namespace, regarding, type: 'Warning', reason: 'Denied', note };
}

function eventText(
  { outcome, reason, problems, warnings }: Parameters<typeof eventFor>[2],
  prefix: string,
): Pick<AdmissionEvent, 'type' | 'reason' | 'note'> | undefined {
  const why = REASONS[reason];
  if (outcome === 'injected') return { type: 'Normal', reason: 'Injected', note: why };
  if (outcome === 'skipped') {
    const isReported =
      reason === REPORTED_SKIP || (reason === 'not_requested' && warnings.length > 0);
    return isReported ? { type: 'Normal', reason: 'NotInjected', note: why } : undefined;
  }
  const note = `${why} ${problemSummary(problems, prefix)} The error returned to the client that created the pod has the details; \`vouchsafe explain\` prints them, too.`;
  return { type: 'Warning', reason: reason === 'forbidden' ? 'PolicyRefused' : 'Denied', note };
}

/** `2 problems with role, secret-*, by policy team-a.` */
function problemSummary(problems: readonly Problem[], prefix: string): string {
  const settings = listed(problems.map(({ path }) => settingOf(path, prefix)));
  const policies = listed(problems.flatMap(({ policy }) => policy ?? []));
  const count = `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`;
  return `${count} with ${settings}${policies === '' ? '' : `, by policy ${policies}`}.`;
}

function listed(names: readonly string[]): string {
  const all = [...new Set(names)].sort();
  return `${all.slice(0, MAX_LISTED).join(', ')}${all.length > MAX_LISTED ? ' and others' : ''}`;
}

/** The setting that a problem is about. Names of files come from the author of the pod, and are left out. */
function settingOf(path: string, prefix: string): string {
  // `vouchsafe.dev/mode of the namespace`
  const [key = ''] = path.split(' ', 1);
  if (key.startsWith('defaults.')) return 'the defaults of the installation';
  if (!key.startsWith(`${prefix}/`)) return 'the pod itself';
  const classified = classify(key.slice(prefix.length + 1));
  if (classified.kind === 'setting') return classified.setting;
  return classified.kind === 'file' ? `${classified.setting}-*` : 'other annotations';
}

/** The controller of the pod; else the pod itself, unless `generateName` gives it its name only after admission. */
function ownerOf({ metadata }: Pod): ObjectReference | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined)
    return referenceFrom({ apiVersion: 'v1', kind: 'Pod', name: metadata.name });
  const { apiVersion = 'v1', kind, name, uid } = owner;
  return referenceFrom({ apiVersion, kind, name, uid });
}

/** The form of each field of an object reference. No sentence has it. */
const FORM = {
  apiVersion: /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?v[0-9]{1,3}((alpha|beta)[0-9]{1,3})?$/,
  kind: /^[A-Z][A-Za-z0-9]{0,62}$/,
  name: /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/,
  uid: /^[0-9A-Za-z-]{1,64}$/,
} as const;

/** The reference, or undefined where a field is not well-formed. The UID is optional. */
function referenceFrom(given: {
  readonly apiVersion: unknown;
  readonly kind: unknown;
  readonly name: unknown;
  readonly uid?: unknown;
}): ObjectReference | undefined {
  const { apiVersion, kind, name, uid } = given;
  const isReference =
    isWellFormed(apiVersion, 'apiVersion') &&
    isWellFormed(kind, 'kind') &&
    isWellFormed(name, 'name');
  if (!isReference) return undefined;
  if (uid === undefined) return { apiVersion, kind, name };
  return isWellFormed(uid, 'uid') ? { apiVersion, kind, name, uid } : undefined;
}

function isWellFormed(value: unknown, field: keyof typeof FORM): value is string {
  return typeof value === 'string' && FORM[field].test(value);
}
