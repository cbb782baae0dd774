/**
 * Settings that no pod gets: annotations too high in an object, at another place of it, or set as labels. Pure.
 */
import { fieldsOf, isRecord, type Fields } from '../core/index.ts';
import { formatPath, workloadRefOf, type FieldPath, type PodTemplate } from './pod-templates.ts';
import type { Pod } from './pod.ts';

/** What {@link misplacedSettings} knows about an object. */
export interface MisplacedInput {
  /** `vouchsafe.dev` */
  readonly prefix: string;
  /** The pod templates of the object. */
  readonly templates: readonly PodTemplate[];
  /**
   * All annotations of the pods that are known; kustomize's `commonAnnotations` are those of all other objects, too.
   * Default: none.
   */
  readonly podAnnotations?: readonly Fields[];
}

/** Settings at one place. */
interface Place {
  /** What they are fields of: `['metadata', 'annotations']`. */
  readonly path: FieldPath;
  readonly names: readonly string[];
}

/** Most names and places in one warning. */
const MAX_LISTED = 5;
/** Longest name that is printed whole. */
const MAX_NAME_CHARS = 128;
const MAX_DEPTH = 32;

/** One warning for each place of an object with settings that its pods do not get. */
export function misplacedSettings(object: Fields, input: MisplacedInput): readonly string[] {
  const { templates } = input;
  const [places, reached] =
    templates.length === 0
      ? [placesOfTop(object, input), input.podAnnotations ?? []]
      : [placesBelow(object, [], input), templates.map(annotationsOf)];
  return places.flatMap(({ path, names }) => {
    const values = fieldsOf(valueAt(object, path));
    const lost = names.filter(
      (name) => reached.length === 0 || !reached.every((one) => one[name] === values[name]),
    );
    return lost.length === 0 ? [] : [warningFor({ path, names: lost }, object, templates)];
  });
}

/** A warning for settings among the labels of a pod; empty if there are none. */
export function settingsAmongLabels(pod: Pod, prefix: string): readonly string[] {
  const annotations = pod.metadata.annotations ?? {};
  const names = settingsIn(pod.metadata['labels'], prefix).filter(
    (name) => !Object.hasOwn(annotations, name),
  );
  if (names.length === 0) return [];
  return [`${listed(names)} among the labels of the pod: set as annotations to take effect`];
}

function warningFor(
  { path, names }: Place,
  object: Fields,
  templates: readonly PodTemplate[],
): string {
  const above = path.slice(0, path.lastIndexOf('metadata'));
  const inner = templates.filter((one) => isAbove(above, one.path));
  const targets = (inner.length > 0 ? inner : templates).map((one) =>
    formatPath([...one.path, 'metadata', 'annotations']),
  );
  const subject = `${listed(names)} set at ${formatPath(path)}`;
  const reference = workloadRefOf(object);
  if (reference !== undefined) {
    return `${subject}, which is too high: pods get only the annotations of the pod template of ${reference} (spec.workloadRef)`;
  }
  if (targets.length === 0) {
    return `${subject}: no pod template is known in this kind, so this has no effect unless its controller copies annotations to its pods`;
  }
  const right = short(targets);
  if (path.at(-1) === 'labels') return `${subject}, but settings are annotations: use ${right}`;
  const isTooHigh = path.at(-1) === 'annotations' && inner.length > 0;
  return `${subject}, ${isTooHigh ? 'which is too high' : 'where it has no effect'}: pods get only ${right}`;
}

/** Where settings are looked for in an object with pods; places that are right are left out. */
function placesBelow(value: unknown, path: FieldPath, input: MisplacedInput): readonly Place[] {
  if (path.length > MAX_DEPTH) return [];
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown, at) => placesBelow(item, [...path, at], input));
  }
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([field, child]) => {
    const at = [...path, field];
    if (field === 'status' || field === 'managedFields') return [];
    const names = isLookedAt(at) && !isRight(at, input) ? settingsIn(child, input.prefix) : [];
    return [...(names.length > 0 ? [{ path: at, names }] : []), ...placesBelow(child, at, input)];
  });
}

/** Of an object without pods, only its own metadata: deeper ones may be what its controller copies to pods. */
function placesOfTop(object: Fields, { prefix }: MisplacedInput): readonly Place[] {
  if (object['kind'] === 'Namespace') return [];
  const paths = [['metadata', 'annotations'], ['metadata', 'labels'], ['metadata']];
  return paths.flatMap((path) => {
    const names = settingsIn(valueAt(object, path), prefix);
    return names.length > 0 ? [{ path, names }] : [];
  });
}

/**
 * `metadata` and what is in it, and annotations and labels beside it. Others, such as `canaryMetadata.annotations`,
 * may get to the pods.
 */
function isLookedAt(path: FieldPath): boolean {
  const [above, field] = [path.at(-2), path.at(-1)];
  if (field === 'metadata') return true;
  if (field !== 'annotations' && field !== 'labels') return false;
  return above === undefined || /^(?:metadata|spec|\w*[tT]emplate)$/.test(String(above));
}

/** Annotations of a pod; its labels are looked at when the pod itself is. */
function isRight(path: FieldPath, { templates }: MisplacedInput): boolean {
  return templates.some(({ path: above }) =>
    ['annotations', 'labels'].some(
      (field) =>
        path.length === above.length + 2 &&
        isPrefix(above, path) &&
        path.at(-2) === 'metadata' &&
        path.at(-1) === field,
    ),
  );
}

function annotationsOf({ template }: PodTemplate): Fields {
  return fieldsOf(fieldsOf(template['metadata'])['annotations']);
}

function settingsIn(value: unknown, prefix: string): readonly string[] {
  return Object.keys(fieldsOf(value)).filter((name) => name.startsWith(`${prefix}/`));
}

function isAbove(path: FieldPath, other: FieldPath): boolean {
  return path.length < other.length && isPrefix(path, other);
}

function isPrefix(path: FieldPath, other: FieldPath): boolean {
  return path.every((field, at) => other[at] === field);
}

function valueAt(object: Fields, path: FieldPath): unknown {
  return path.reduce<unknown>(
    (at, field) => (Array.isArray(at) ? (at as unknown[])[Number(field)] : fieldsOf(at)[field]),
    object,
  );
}

/** `a is`, `a, b are` */
function listed(names: readonly string[]): string {
  return `${short(names)} ${names.length === 1 ? 'is' : 'are'}`;
}

function short(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).map((name) => name.slice(0, MAX_NAME_CHARS));
  const rest = names.length - shown.length;
  return [...shown, ...(rest > 0 ? [`${rest} more`] : [])].join(', ');
}
