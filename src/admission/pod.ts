/**
 * A pod, with the fields that admission reads. All other fields are kept as they are.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 */
import { isRecord, VouchsafeError, type Fields } from '../core/index.ts';

/** An item of a list that is identified by its name. */
export interface Named {
  readonly name: string;
  readonly [field: string]: unknown;
}

/** An environment variable. */
export interface EnvVar extends Named {
  readonly value?: string;
  readonly valueFrom?: unknown;
}

/** A volume that a container mounts. */
export interface VolumeMount extends Named {
  readonly mountPath: string;
  readonly readOnly?: boolean;
}

/** User and group, of a pod or of a container. */
interface SecurityContext {
  readonly runAsUser?: number | null;
  readonly runAsGroup?: number | null;
  readonly fsGroup?: number | null;
  readonly [field: string]: unknown;
}

/** A container or an init container. */
export interface Container extends Named {
  readonly env?: readonly EnvVar[] | null;
  readonly volumeMounts?: readonly VolumeMount[] | null;
  readonly volumeDevices?: readonly Named[] | null;
  readonly ports?: readonly { readonly containerPort?: number }[] | null;
  readonly securityContext?: SecurityContext | null;
  readonly restartPolicy?: string;
  /** From Kubernetes 1.35; not checked yet. */
  readonly restartPolicyRules?: unknown;
}

/** The specification of a pod. */
interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[] | null;
  /** The API server rejects them at the creation of a pod, but only after admission. */
  readonly ephemeralContainers?: readonly Container[] | null;
  readonly volumes?: readonly Named[] | null;
  readonly securityContext?: SecurityContext | null;
  readonly os?: { readonly name?: string } | null;
  readonly nodeSelector?: Readonly<Record<string, unknown>> | null;
  readonly restartPolicy?: string;
  readonly terminationGracePeriodSeconds?: number | null;
  readonly shareProcessNamespace?: boolean | null;
  readonly hostPID?: boolean;
  readonly hostNetwork?: boolean;
  readonly automountServiceAccountToken?: boolean | null;
  readonly [field: string]: unknown;
}

/** An object that a pod belongs to. Not trustworthy: the creator of a pod can set any value. */
interface OwnerReference {
  readonly kind?: string;
  readonly name?: string;
  readonly [field: string]: unknown;
}

/** A pod. */
export interface Pod {
  readonly metadata: {
    readonly name?: string;
    readonly generateName?: string;
    readonly annotations?: Readonly<Record<string, string>> | null;
    readonly ownerReferences?: readonly OwnerReference[] | null;
    readonly [field: string]: unknown;
  };
  readonly spec: PodSpec;
  readonly [field: string]: unknown;
}

/** Bounds that only an attack exceeds. */
const MAX_ITEMS = 4096;
/** Longest name of an object. */
const MAX_NAME_CHARS = 253;
/** The API server's own limit, which it enforces only after admission. */
const MAX_ANNOTATION_CHARS = 256 * 1024;

/**
 * Checks the parts of a pod that admission reads; the API server checks the rest.
 *
 * @throws VouchsafeError `ERR_ADMISSION_MALFORMED` that names the field.
 */
export function readPod(value: unknown): Pod {
  const pod = record(value, 'object');
  const metadata = record(pod['metadata'], 'metadata');
  checkAnnotations(record(metadata['annotations'] ?? {}, 'metadata.annotations'));
  checkNames(metadata, ['name', 'generateName'], 'metadata');
  for (const owner of listOf(metadata['ownerReferences'], 'metadata.ownerReferences')) {
    checkNames(owner, ['kind', 'name'], 'metadata.ownerReferences[]');
  }
  const spec = record(pod['spec'], 'spec');
  checkNames(spec, ['serviceAccountName'], 'spec');
  record(spec['securityContext'] ?? {}, 'spec.securityContext');
  record(spec['os'] ?? {}, 'spec.os');
  record(spec['nodeSelector'] ?? {}, 'spec.nodeSelector');
  if (namedList(spec['containers'], 'spec.containers').length === 0) {
    throw malformed('spec.containers is empty');
  }
  for (const volume of namedList(spec['volumes'], 'spec.volumes')) {
    checkNames(volume, ['name'], 'spec.volumes[]');
  }
  for (const list of ['containers', 'initContainers', 'ephemeralContainers']) {
    for (const container of namedList(spec[list], `spec.${list}`)) {
      checkNames(container, ['name'], `spec.${list}[]`);
      checkContainer(container, `spec.${list}[${String(container['name']).slice(0, 64)}]`);
    }
  }
  return value as Pod; // every field of the type was checked above
}

/** Bounds the names that the log shows. */
function checkNames(fields: Fields, names: readonly string[], path: string): void {
  for (const name of names) {
    const value = fields[name] ?? '';
    if (typeof value === 'string' && value.length <= MAX_NAME_CHARS) continue;
    throw malformed(`${path}.${name} must be a string of at most ${MAX_NAME_CHARS} characters`);
  }
}

function checkAnnotations(annotations: Fields): void {
  let size = 0;
  for (const [key, text] of Object.entries(annotations)) {
    if (typeof text !== 'string')
      throw malformed(`annotation ${key.slice(0, 128)} must be a string: quote it`);
    size += key.length + text.length;
  }
  if (size > MAX_ANNOTATION_CHARS)
    throw malformed(`the annotations exceed ${MAX_ANNOTATION_CHARS} characters`);
}

function checkContainer(container: Fields, path: string): void {
  record(container['securityContext'] ?? {}, `${path}.securityContext`);
  namedList(container['env'], `${path}.env`);
  listOf(container['ports'], `${path}.ports`);
  namedList(container['volumeDevices'], `${path}.volumeDevices`);
  for (const mount of namedList(container['volumeMounts'], `${path}.volumeMounts`)) {
    if (typeof mount['mountPath'] !== 'string')
      throw malformed(`${path} has a mountPath that is not a string`);
  }
}

function record(value: unknown, path: string): Fields {
  if (isRecord(value)) return value;
  throw malformed(`${path} must be an object`);
}

function listOf(value: unknown, path: string): Fields[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw malformed(`${path} must be a list`);
  if (value.length > MAX_ITEMS) throw malformed(`${path} has more than ${MAX_ITEMS} items`);
  return value.map((item: unknown, index) => record(item, `${path}[${index}]`));
}

function namedList(value: unknown, path: string): Fields[] {
  const items = listOf(value, path);
  const nameless = items.findIndex((item) => typeof item['name'] !== 'string');
  if (nameless >= 0) throw malformed(`${path}[${nameless}] has no name`);
  return items;
}

function malformed(what: string): VouchsafeError {
  return new VouchsafeError('ERR_ADMISSION_MALFORMED', `not a pod: ${what}`);
}
