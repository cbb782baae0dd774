/**
 * The record of an injection in the pod's annotations, and the removal of an injection.
 */
import { fieldsOf, jsonBoundsProblem } from '../core/index.ts';
import { NO_EXCLUSION, withoutExclusion, type PortExclusion, type Replacement } from './meshes.ts';
import { CONFIG_VARIABLE, isOwnContainer, isOwnVolume, VOLUME } from './names.ts';
import type { Container, Named, Pod } from './pod.ts';

/** Names of the two annotations after the prefix. */
const STATUS = 'status';
const INJECTED = 'injected';

/** What was added besides containers and volumes, which have reserved names. */
export interface InjectionRecord {
  /** Environment variables added, by container. */
  readonly env: Readonly<Record<string, readonly string[]>>;
  readonly sharesProcesses: boolean;
  /** What excluded the agent's port from the redirection of meshes. */
  readonly exclusion: PortExclusion;
  /** Fields that existed but were empty (`[]`, `{}` or null), by the path of {@link fieldOf}. */
  readonly empty: Readonly<Record<string, unknown>>;
}

/** The annotations of an injected pod. Keys are in order, so that equal records give equal bytes. */
export function recordAnnotations(prefix: string, record: InjectionRecord): Record<string, string> {
  const { env, sharesProcesses, empty, exclusion } = record;
  const { annotations, args } = exclusion;
  const text = JSON.stringify({
    ...(Object.keys(env).length > 0 && { env }),
    ...(sharesProcesses && { sharesProcesses }),
    ...(Object.keys(empty).length > 0 && { empty }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ...(Object.keys(args).length > 0 && { args }),
  });
  return { [`${prefix}/${STATUS}`]: 'injected', [`${prefix}/${INJECTED}`]: text };
}

/** The path of a list, for {@link InjectionRecord.empty}. */
export function fieldOf(field: string, container?: Container): string {
  return container === undefined ? field : `${container.name}.${field}`;
}

/** True if the pod has the agent's containers or the driver's volume; the annotations are not sufficient. */
export function hasInjection(pod: Pod, prefix: string): boolean {
  if (pod.metadata.annotations?.[`${prefix}/${INJECTED}`] === undefined) return false;
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return (
    containers.some((one) => isOwnContainer(one.name) && configOf(one) !== '') ||
    (pod.spec.volumes ?? []).some((one) => one.name === VOLUME.secrets && 'csi' in one)
  );
}

/** True if the annotations say that the pod was injected. */
export function hasRecord(pod: Pod, prefix: string): boolean {
  const annotations = pod.metadata.annotations ?? {};
  return [STATUS, INJECTED].some((name) => annotations[`${prefix}/${name}`] !== undefined);
}

/** The configuration document of an agent's container, as text; empty if there is none. */
function configOf(container: Container): string {
  return container.env?.find(({ name }) => name === CONFIG_VARIABLE)?.value ?? '';
}

/** The pod as it was before injection. A pod that was never injected is returned unchanged. */
export function removeInjection(injected: Pod, prefix: string): Pod {
  if (!hasRecord(injected, prefix)) return injected;
  const record = parseRecord(injected.metadata.annotations?.[`${prefix}/${INJECTED}`]);
  const pod = withoutExclusion(injected, record.exclusion);
  const clean = (container: Container): Container => withoutInjection(container, record);
  const containers = pod.spec.containers.filter(({ name }) => !isOwnContainer(name)).map(clean);
  let spec = { ...pod.spec, containers };
  if (Array.isArray(spec.initContainers)) {
    spec = { ...spec, initContainers: spec.initContainers.map(clean) };
    spec = withoutItems(spec, 'initContainers', isOwnContainer, { path: 'initContainers', record });
  }
  spec = withoutItems(spec, 'volumes', isOwnVolume, { path: 'volumes', record });
  const field = 'shareProcessNamespace';
  if (record.sharesProcesses) spec = restored(spec, field, { path: field, record });
  return { ...pod, metadata: withoutRecord(pod.metadata, prefix, record), spec };
}

function withoutInjection(container: Container, record: InjectionRecord): Container {
  const { name } = container;
  const added = new Set(Object.hasOwn(record.env, name) ? record.env[name] : []);
  const mounted = withoutItems(container, 'volumeMounts', (one) => one === VOLUME.secrets, {
    path: fieldOf('volumeMounts', container),
    record,
  });
  return withoutItems(mounted, 'env', (one) => added.has(one), {
    path: fieldOf('env', container),
    record,
  });
}

/** Removes items from a list. A list that becomes empty was absent before, or empty as in the record. */
function withoutItems<F extends string, T extends Partial<Record<F, readonly Named[] | null>>>(
  object: T,
  field: F,
  isOurs: (name: string) => boolean,
  was: { readonly path: string; readonly record: InjectionRecord },
): T {
  const list: readonly Named[] = object[field] ?? [];
  const kept = list.filter(({ name }) => !isOurs(name));
  if (kept.length === list.length) return object;
  if (kept.length > 0) return { ...object, [field]: kept };
  return restored(object, field, was);
}

function withoutRecord(
  metadata: Pod['metadata'],
  prefix: string,
  record: InjectionRecord,
): Pod['metadata'] {
  const kept = Object.entries(metadata.annotations ?? {}).filter(
    ([name]) => name !== `${prefix}/${STATUS}` && name !== `${prefix}/${INJECTED}`,
  );
  return kept.length > 0
    ? { ...metadata, annotations: Object.fromEntries(kept) }
    : restored(metadata, 'annotations', { path: 'annotations', record });
}

function restored<T extends object>(
  object: T,
  field: string,
  was: { readonly path: string; readonly record: InjectionRecord },
): T {
  return Object.hasOwn(was.record.empty, was.path)
    ? { ...object, [field]: was.record.empty[was.path] }
    : without(object, field);
}

function without<T extends object>(object: T, field: string): T {
  const entries = Object.entries(object).filter(([name]) => name !== field);
  return Object.fromEntries(entries) as T; // the callers pass only optional fields
}

/** Far more than an injection leaves in any pod. */
const BOUNDS = { parts: 65_536, depth: 4 };

/** The webhook writes the record, but anyone can edit it: a malformed part is ignored. */
function parseRecord(text: string | undefined): InjectionRecord {
  const none: InjectionRecord = {
    env: {},
    sharesProcesses: false,
    empty: {},
    exclusion: NO_EXCLUSION,
  };
  try {
    if (text === undefined || jsonBoundsProblem(text, BOUNDS) !== undefined) return none;
    const value: unknown = JSON.parse(text);
    const fields = fieldsOf(value);
    return {
      env: stringLists(fields['env']),
      sharesProcesses: fields['sharesProcesses'] === true,
      empty: emptyFields(fields['empty']),
      exclusion: {
        annotations: replacements(fields['annotations']),
        args: replacements(fields['args']),
      },
    };
  } catch {
    return none;
  }
}

function stringLists(value: unknown): Record<string, readonly string[]> {
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value).map(([name, list]: [string, unknown]) => {
    const names = Array.isArray(list) ? list.filter((one) => typeof one === 'string') : [];
    return [name, names] as const;
  });
  return Object.fromEntries(entries);
}

function replacements(value: unknown): Record<string, Replacement> {
  const entries = Object.entries(fieldsOf(value)).flatMap(
    ([name, one]: [string, unknown]): [string, Replacement][] => {
      const { was, now } = fieldsOf(one);
      const isText = typeof was === 'string' || was === null;
      return isText && typeof now === 'string' ? [[name, { was, now }]] : [];
    },
  );
  return Object.fromEntries(entries);
}

function emptyFields(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value).filter(
    ([, field]: [string, unknown]) =>
      field === null || (typeof field === 'object' && Object.keys(field).length === 0),
  );
  return Object.fromEntries(entries);
}
