/**
 * What is told of a decision to those who look at the pod's owner. Pure.
 *
 * The webhook cannot know who calls, so an Event holds no text of the request: sentences, counts and names of settings
 * are the product's own, and what it regards has the shape of a reference or is not told.
 */
import { REASONS, type InjectionResult, type Pod, type Reason } from '../admission/index.ts';
import { classify } from '../config/index.ts';
import type { Problem } from '../core/index.ts';

/** An Event to be, in Kubernetes' words. */
export interface AdmissionEvent {
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

/** A skip that somebody may wonder about; the others are as everybody expects. */
const REPORTED_SKIP: Reason = 'nothing_requested';

/** More settings are not listed. */
const MAX_LISTED = 8;

/**
 * The notice of a decision; undefined where nobody wonders, or nobody is there who could be told. `prefix` is that of
 * the annotations: `vouchsafe.dev`.
 */
export function eventFor(
  pod: Pod,
  namespace: string,
  result: Pick<InjectionResult, 'outcome' | 'reason' | 'problems' | 'warnings'>,
  prefix: string,
): AdmissionEvent | undefined {
  const regarding = ownerOf(pod);
  const told = eventText(result, prefix);
  return regarding === undefined || told === undefined
    ? undefined
    : { namespace, regarding, ...told };
}

/** The notice of a pod that was denied because its namespace could not be read. */
export function unreadableNamespaceEvent(pod: Pod, namespace: string): AdmissionEvent | undefined {
  const regarding = ownerOf(pod);
  if (regarding === undefined) return undefined;
  const note = 'The annotations of the namespace cannot be read now; it is tried again.';
  return { namespace, regarding, type: 'Warning', reason: 'Denied', note };
}

function eventText(
  { outcome, reason, problems, warnings }: Parameters<typeof eventFor>[2],
  prefix: string,
): Pick<AdmissionEvent, 'type' | 'reason' | 'note'> | undefined {
  const why = REASONS[reason];
  if (outcome === 'injected') return { type: 'Normal', reason: 'Injected', note: why };
  if (outcome === 'skipped') {
    const isTold = reason === REPORTED_SKIP || (reason === 'not_requested' && warnings.length > 0);
    return isTold ? { type: 'Normal', reason: 'NotInjected', note: why } : undefined;
  }
  const note = `${why} ${problemSummary(problems, prefix)} The answer to whoever created the pod says more, and so does \`vouchsafe explain\`.`;
  return { type: 'Warning', reason: reason === 'forbidden' ? 'PolicyRefused' : 'Denied', note };
}

/** `2 problems, of role, secret-*, by policy team-a.` */
function problemSummary(problems: readonly Problem[], prefix: string): string {
  const places = listed(problems.map(({ path }) => settingOf(path, prefix)));
  const policies = listed(problems.flatMap(({ policy }) => policy ?? []));
  const count = `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`;
  return `${count}, of ${places}${policies === '' ? '' : `, by policy ${policies}`}.`;
}

function listed(names: readonly string[]): string {
  const all = [...new Set(names)].sort();
  return `${all.slice(0, MAX_LISTED).join(', ')}${all.length > MAX_LISTED ? ' and others' : ''}`;
}

/** The setting that a problem is about, in the product's own words: names of files are whoever's who wrote them. */
function settingOf(path: string, prefix: string): string {
  // `vouchsafe.dev/mode of the namespace`
  const [key = ''] = path.split(' ', 1);
  if (key.startsWith('defaults.')) return 'the defaults of the installation';
  if (!key.startsWith(`${prefix}/`)) return 'the pod itself';
  const classified = classify(key.slice(prefix.length + 1));
  if (classified.kind === 'setting') return classified.setting;
  return classified.kind === 'file' ? `${classified.setting}-*` : 'other annotations';
}

/** The controller, else a pod that has a name already: one with `generateName` gets its own after admission. */
function ownerOf({ metadata }: Pod): AdmissionEvent['regarding'] | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined)
    return referenceFrom({ apiVersion: 'v1', kind: 'Pod', name: metadata.name });
  const { apiVersion = 'v1', kind, name, uid } = owner;
  return referenceFrom({ apiVersion, kind, name, uid });
}

/** What each field of a reference may look like; nothing that is a sentence has that form. */
const FORM = {
  apiVersion: /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?v[0-9]{1,3}((alpha|beta)[0-9]{1,3})?$/,
  kind: /^[A-Z][A-Za-z0-9]{0,62}$/,
  name: /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/,
  uid: /^[0-9A-Za-z-]{1,64}$/,
} as const;

/** A reference whose every field has its form; undefined where one has not. An absent UID is nobody's. */
function referenceFrom(given: {
  readonly apiVersion: unknown;
  readonly kind: unknown;
  readonly name: unknown;
  readonly uid?: unknown;
}): AdmissionEvent['regarding'] | undefined {
  const { apiVersion, kind, name, uid } = given;
  const isOne =
    isWellFormed(apiVersion, 'apiVersion') &&
    isWellFormed(kind, 'kind') &&
    isWellFormed(name, 'name');
  if (!isOne) return undefined;
  if (uid === undefined) return { apiVersion, kind, name };
  return isWellFormed(uid, 'uid') ? { apiVersion, kind, name, uid } : undefined;
}

function isWellFormed(value: unknown, field: keyof typeof FORM): value is string {
  return typeof value === 'string' && FORM[field].test(value);
}
