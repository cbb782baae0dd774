/**
 * Where objects of Kubernetes, and of what people install in it, hold the pods that are created from them. Pure.
 */
import { fieldsOf, isRecord, VouchsafeError, type Fields } from '../core/index.ts';
import { withNames } from './container-names.ts';

/** Fields and positions in lists, from the object: `['spec', 'tasks', 0, 'template']`. */
export type FieldPath = readonly (string | number)[];

/** A pod template in an object, or an object that is a pod itself. */
export interface PodTemplate {
  /** Kind and name for messages: `Deployment/web`. */
  readonly owner: string;
  /** Group of the owner; undefined where it has no `apiVersion`. */
  readonly group: string | undefined;
  /** Undefined where the object does not set it. */
  readonly namespace: string | undefined;
  readonly path: FieldPath;
  readonly template: Fields;
  /** False for a field that was found by its shape, in a kind that is not in the table. */
  readonly isKnownKind: boolean;
}

const TEMPLATE = ['spec', 'template'] as const;
/** Group, kinds and the path of their pod template. All versions of a group have it at the same place. */
const PLACES: readonly (readonly [string, readonly string[], FieldPath])[] = [
  ['', ['Pod'], []],
  ['', ['PodTemplate'], ['template']],
  ['', ['ReplicationController'], TEMPLATE],
  ['apps', ['Deployment', 'ReplicaSet', 'StatefulSet', 'DaemonSet'], TEMPLATE],
  ['extensions', ['Deployment', 'ReplicaSet', 'DaemonSet'], TEMPLATE],
  ['batch', ['Job'], TEMPLATE],
  ['batch', ['CronJob'], ['spec', 'jobTemplate', ...TEMPLATE]],
  ['argoproj.io', ['Rollout'], TEMPLATE],
  ['apps.openshift.io', ['DeploymentConfig'], TEMPLATE],
  ['', ['DeploymentConfig'], TEMPLATE],
  ['serving.knative.dev', ['Service', 'Configuration'], TEMPLATE],
  // The pods of a Revision have its annotations and its containers.
  ['serving.knative.dev', ['Revision'], []],
];

/** Deeper than any definition of a resource. */
const MAX_DEPTH = 32;
/** `template`, `podTemplate`, `workerTemplate`, `templates`. */
const TEMPLATE_FIELD = /templates?$/i;

/**
 * The pod templates of an object: at the place of the table for its kind; in other kinds, every field named `template` or
 * `…Template` that holds containers, and those of the objects within them (an OpenShift Template).
 *
 * @throws VouchsafeError `ERR_ADMISSION_MALFORMED` for a kind of the table without its template.
 */
export function podTemplatesOf(object: Fields): readonly PodTemplate[] {
  const place = placeOf(object);
  if (place === undefined) return [...searched(object, object, [])];
  if (workloadRefOf(object) !== undefined) return [];
  const template = valueAt(object, place);
  if (isRecord(template)) return [templateAt(object, [], place, template)];
  const message = `${ownerOf(object)} has no ${formatPath(place)}`;
  throw new VouchsafeError('ERR_ADMISSION_MALFORMED', message);
}

/**
 * The workload whose template an Argo Rollout uses instead of its own: `Deployment/web`. Its own is then missing, or
 * empty as clients of the API write it.
 */
export function workloadRefOf(object: Fields): string | undefined {
  if (groupOf(object) !== 'argoproj.io' || object['kind'] !== 'Rollout') return undefined;
  const spec = fieldsOf(object['spec']);
  const { kind, name } = fieldsOf(spec['workloadRef']);
  const { containers } = fieldsOf(fieldsOf(spec['template'])['spec']);
  if (Array.isArray(containers) && containers.length > 0) return undefined;
  return typeof kind === 'string' && typeof name === 'string' ? `${kind}/${name}` : undefined;
}

/** The pod that is created from a template. */
export function podOfTemplate({ template, group }: PodTemplate): Fields {
  const type = { apiVersion: 'v1', kind: 'Pod' };
  const spec = group === KNATIVE ? { spec: withNames(template['spec']) } : {};
  // Pod templates, often those of Jobs, may have no metadata.
  return Object.assign({ ...type, metadata: {} }, template, type, spec);
}

/** The object with a template replaced by this pod, whose `apiVersion` and `kind` become those of the template again. */
export function withPod(object: Fields, { path, template }: PodTemplate, pod: Fields): Fields {
  const own = Object.entries(pod).flatMap(([field, value]): readonly [string, unknown][] => {
    if (field !== 'apiVersion' && field !== 'kind') return [[field, value]];
    return Object.hasOwn(template, field) ? [[field, template[field]]] : [];
  });
  return fieldsOf(replaced(object, path, Object.fromEntries(own)));
}

/** Kind and name for messages: `Deployment/web`. */
export function ownerOf({ kind, metadata }: Fields): string {
  const { name, generateName } = fieldsOf(metadata);
  return `${textOf(kind)}/${textOf(name ?? generateName ?? 'unnamed')}`;
}

/** The API group of an object; undefined where it has no `apiVersion`. */
function groupOf({ apiVersion }: Fields): string | undefined {
  if (typeof apiVersion !== 'string') return undefined;
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
}

/** `spec.tasks[0].template` */
export function formatPath(path: FieldPath): string {
  return path.reduce<string>((text, field) => {
    if (typeof field === 'number') return `${text}[${field}]`;
    return text === '' ? field : `${text}.${field}`;
  }, '');
}

/** Group of the objects whose containers need no names, and whose admission rejects much of what is added to a pod. */
export const KNATIVE = 'serving.knative.dev';

/** Without `apiVersion`, a kind of the table is taken for what it is in most manifests. */
function placeOf(object: Fields): FieldPath | undefined {
  const group = groupOf(object);
  const kind = textOf(object['kind']);
  return PLACES.find(
    ([ofGroup, kinds]) =>
      kinds.includes(kind) && (group === undefined ? ofGroup !== KNATIVE : group === ofGroup),
  )?.[2];
}

/** Looks for templates below a value of an object of another kind, or of an object in it. */
function* searched(owner: Fields, value: unknown, path: FieldPath): Generator<PodTemplate> {
  if (path.length > MAX_DEPTH) return;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries())
      yield* searchedField(owner, item, [...path, index]);
    return;
  }
  for (const [field, child] of Object.entries(fieldsOf(value))) {
    yield* searchedField(owner, child, [...path, field]);
  }
}

function* searchedField(owner: Fields, value: unknown, path: FieldPath): Generator<PodTemplate> {
  const inner = isObject(value) ? knownTemplate(value, path) : undefined;
  if (inner !== undefined) {
    yield inner;
  } else if (isTemplate(value, path)) {
    yield { ...templateAt(owner, [], path, value), isKnownKind: false };
  } else {
    yield* searched(isObject(value) ? named(owner, value) : owner, value, path);
  }
}

/** The template of an object of a known kind within another object. */
function knownTemplate(object: Fields, path: FieldPath): PodTemplate | undefined {
  const place = placeOf(object);
  const template = place && valueAt(object, place);
  if (place === undefined || !isRecord(template)) return undefined;
  return templateAt(object, path, place, template);
}

function isTemplate(value: unknown, path: FieldPath): value is Fields {
  const name = path.findLast((one) => typeof one === 'string') ?? '';
  return isRecord(value) && TEMPLATE_FIELD.test(name) && holdsContainers(value);
}

function templateAt(
  owner: Fields,
  above: FieldPath,
  below: FieldPath,
  template: Fields,
): PodTemplate {
  const { namespace } = fieldsOf(owner['metadata']);
  return {
    owner: ownerOf(owner),
    group: groupOf(owner),
    namespace: namespace === undefined ? undefined : textOf(namespace),
    path: [...above, ...below],
    template,
    isKnownKind: true,
  };
}

/** Kind and name of an object within another one, for the templates in it. */
function named(owner: Fields, { apiVersion, kind, metadata }: Fields): Fields {
  return { ...owner, apiVersion, kind, metadata };
}

/** A whole object within another one; references to objects have no metadata. */
function isObject(value: unknown): value is Fields {
  const { apiVersion, kind, metadata } = fieldsOf(value);
  return typeof apiVersion === 'string' && typeof kind === 'string' && isRecord(metadata);
}

function holdsContainers({ spec }: Fields): boolean {
  const { containers } = fieldsOf(spec);
  if (!Array.isArray(containers) || containers.length === 0) return false;
  return containers.every((one: unknown) => {
    const { name, image } = fieldsOf(one);
    return typeof name === 'string' || typeof image === 'string';
  });
}

function valueAt(object: Fields, path: FieldPath): unknown {
  return path.reduce<unknown>((at, field) => fieldsOf(at)[field], object);
}

function replaced(value: unknown, path: FieldPath, by: Fields): unknown {
  const [field, ...rest] = path;
  if (field === undefined) return by;
  if (Array.isArray(value)) {
    return value.map((item: unknown, at) => (at === field ? replaced(item, rest, by) : item));
  }
  const fields = fieldsOf(value);
  return { ...fields, [field]: replaced(fields[field], rest, by) };
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
