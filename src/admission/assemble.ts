/**
 * Adds the parts of an injection to a pod and records what they replaced. Pure: the input pod is not changed.
 */
import { fieldOf, recordAnnotations, type InjectionRecord } from './injection-record.ts';
import { withExclusion, type PortExclusion } from './meshes.ts';
import { CONTAINER_VARIABLE, VOLUME } from './names.ts';
import type { OwnContainers } from './containers.ts';
import type { Container, EnvVar, Named, Pod } from './pod.ts';

/** Everything that one injection adds. */
export interface Addition {
  readonly prefix: string;
  /** Undefined in mode csi, which adds no container. */
  readonly own: OwnContainers | undefined;
  /** Index of the agent among the init containers. */
  readonly position: number;
  readonly volumes: readonly Named[];
  /** Names of the containers that see the files. */
  readonly consumers: ReadonlySet<string>;
  /** Undefined if there are no files to mount. */
  readonly mountPath: string | undefined;
  /** Variables from files for the consumers, which do not set them; before their own, so that those can refer to them. */
  readonly references: readonly EnvVar[];
  /** Environment variables for the consumers that do not set them. */
  readonly variables: Readonly<Record<string, string>>;
  /** Names of the containers that the agent signals. */
  readonly signalled: ReadonlySet<string>;
  /** Excludes the agent's port from the redirection of meshes. */
  readonly exclusion: PortExclusion;
}

/** The pod with everything added, and the record of it. */
export function assemble(original: Pod, addition: Addition): Pod {
  const { own, position, prefix, signalled, exclusion } = addition;
  const pod = withExclusion(original, exclusion);
  const log: Log = { env: new Map(), empty: new Map() };
  const add = (container: Container): Container => extend(container, addition, log);
  const init = pod.spec.initContainers?.map(add);
  if (own !== undefined) noteEmpty(pod.spec, 'initContainers', log.empty);
  noteEmpty(pod.spec, 'volumes', log.empty);
  noteEmpty(original.metadata, 'annotations', log.empty);
  const sharesProcesses = signalled.size > 0 && pod.spec.shareProcessNamespace !== true;
  if (sharesProcesses) noteEmpty(pod.spec, 'shareProcessNamespace', log.empty);
  const containers = pod.spec.containers.map(add);
  const record: InjectionRecord = {
    env: Object.fromEntries(log.env),
    sharesProcesses,
    empty: Object.fromEntries(log.empty),
    exclusion,
  };
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { ...pod.metadata.annotations, ...recordAnnotations(prefix, record) },
    },
    spec: {
      ...pod.spec,
      containers: own?.sidecar === undefined ? containers : [...containers, own.sidecar],
      ...(own === undefined
        ? init && { initContainers: init }
        : { initContainers: (init ?? []).toSpliced(position, 0, own.init) }),
      volumes: [...(pod.spec.volumes ?? []), ...addition.volumes],
      ...(sharesProcesses && { shareProcessNamespace: true }),
    },
  };
}

/** Maps, because a container may be named `constructor`. */
interface Log {
  readonly env: Map<string, readonly string[]>;
  readonly empty: Map<string, unknown>;
}

function extend(container: Container, addition: Addition, log: Log): Container {
  const isConsumer = addition.consumers.has(container.name);
  const references = isConsumer ? addition.references : [];
  const variables = newVariables(container, addition);
  const added = [...references, ...variables];
  let extended = container;
  if (added.length > 0) {
    noteEmpty(container, 'env', log.empty, container);
    log.env.set(
      container.name,
      added.map(({ name }) => name),
    );
    extended = { ...extended, env: [...references, ...(container.env ?? []), ...variables] };
  }
  const { mountPath } = addition;
  if (isConsumer && mountPath !== undefined) {
    noteEmpty(container, 'volumeMounts', log.empty, container);
    const mount = { name: VOLUME.secrets, mountPath, readOnly: true };
    extended = { ...extended, volumeMounts: [...(container.volumeMounts ?? []), mount] };
  }
  return extended;
}

function newVariables(container: Container, addition: Addition): EnvVar[] {
  const known = new Set(container.env?.map(({ name }) => name));
  const wanted = addition.consumers.has(container.name) ? Object.entries(addition.variables) : [];
  const variables = wanted.filter(([name]) => !known.has(name));
  return [
    ...variables.map(([name, value]) => ({ name, value })),
    ...(addition.signalled.has(container.name)
      ? [{ name: CONTAINER_VARIABLE, value: container.name }]
      : []),
  ];
}

function noteEmpty(
  object: object,
  field: string,
  empty: Log['empty'],
  container?: Container,
): void {
  const value: unknown = Object.entries(object).find(([name]) => name === field)?.[1];
  if (value === undefined) return;
  const isEmpty = value === null || (typeof value === 'object' && Object.keys(value).length === 0);
  if (isEmpty) empty.set(fieldOf(field, container), value);
}
