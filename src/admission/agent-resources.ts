/**
 * CPU, memory and disk of the agent's containers. What is added breaks no rule over the whole pod: neither the sums of
 * resources at the pod's level, nor the class Guaranteed.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
 * @see https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/
 */
import {
  resolveSettings,
  type Annotations,
  type Setting,
  type Settings,
} from '../config/annotations/index.ts';
import { DEFAULTS } from '../config/schema/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { quantityOf } from '../core/index.ts';
import { Diagnostics } from './diagnostics.ts';
import { AGENT_CONTAINER } from './names.ts';
import { aggregateRequest, isGuaranteed, podLevel, type Resource } from './pod-resources.ts';
import type { Container, Pod } from './pod.ts';

/** Requests and limits of one container, by name of the resource. */
export interface Resources {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

/** Input of {@link agentResources}. */
export interface ResourcesInput {
  /** The pod without the injection. */
  readonly pod: Pod;
  readonly settings: Settings;
  readonly prefix: string;
  readonly mode: 'native' | 'pair' | 'init';
  /** Index of the agent among the init containers. */
  readonly position: number;
}

const MIB = 2 ** 20;
/** Memory of the agent without any file. */
const BASE_BYTES = 32 * MIB;
/** Memory for each byte of the volume, which holds a set twice; see docs/use/resources.md for what was measured. */
const VOLUME_FACTOR = 6;

interface Amount {
  readonly request: string;
  readonly limit?: string;
}

/** CPU of one start, in seconds; see docs/operate/performance.md. */
const START_CPU_SECONDS = 0.1;
/** The least CPU limit of an agent in a Guaranteed pod: a start takes about a second. */
const LEAST_CPU_LIMIT = '100m';

/** Chooses the resources; reports those of the pod's annotations that do not fit into the pod. */
export function agentResources(input: ResourcesInput, diagnostics: Diagnostics): Resources {
  const { pod, settings, prefix } = input;
  const { cpu, memory, 'ephemeral-storage': disk } = settings;
  const guaranteed = isGuaranteed(pod);
  const ofMemory = memoryFor(memory, settings['volume-size']);
  const amounts: Partial<Record<Resource | 'ephemeral-storage', Amount>> = {
    ...of('cpu', amountOf('cpu', cpu, pod, guaranteed ? guaranteedCpu(cpu) : cpu.value)),
    ...of(
      'memory',
      amountOf('memory', ofMemory, pod, guaranteed ? guaranteedMemory(ofMemory) : ofMemory.value),
    ),
    ...of('ephemeral-storage', disk.value && { limit: disk.value.request, ...disk.value }),
  };
  const resources = resourcesOf(amounts);
  if (guaranteed) checkClass({ amounts, settings, prefix }, diagnostics);
  for (const name of ['cpu', 'memory'] as const) {
    if (amounts[name] !== undefined) checkFit(input, name, resources, diagnostics);
  }
  checkThrottling(amounts.cpu, { settings, prefix }, diagnostics);
  checkVolumeSize(input, amounts.memory, diagnostics);
  checkLeastMemory(amounts.memory, { settings, prefix }, diagnostics);
  return resources;
}

/**
 * The resources of the agent in a pod without resources and annotations of its own, for `check`; undefined if such pods get a
 * volume of the CSI driver.
 */
export function usualResources(
  { annotationPrefix: prefix, defaults }: Installation,
  namespaceAnnotations: Annotations | undefined,
): Resources | undefined {
  const given = { prefix, pod: {}, namespace: namespaceAnnotations, installation: defaults };
  const { settings } = resolveSettings(given);
  if (settings.mode.value === 'csi') return undefined;
  const pod: Pod = { metadata: {}, spec: { containers: [{ name: 'app' }] } };
  const input = { pod, settings, prefix, mode: 'native', position: 0 } as const;
  return agentResources(input, new Diagnostics());
}

/** The memory with its limit; the built-in limit grows with a volume that somebody set. */
function memoryFor(
  { value, source, text }: Settings['memory'],
  size: Settings['volume-size'],
): Setting<Amount> {
  const { request, limit = request } = value;
  const needed = memoryForVolume(size);
  const isFixed = source !== 'built in' || needed <= (quantityOf(limit) ?? 0);
  const grown = isFixed ? limit : `${Math.ceil(needed / MIB)}Mi`;
  return { value: { request, limit: grown }, source, text };
}

/** Memory limit with which the agent can fill a volume, in bytes; the agent's own bound is `AgentMemory`. */
function memoryForVolume({ value }: Settings['volume-size']): number {
  return BASE_BYTES + VOLUME_FACTOR * (quantityOf(value) ?? 0);
}

/** Reports a size that somebody set and that is too small for any set, or too large for the agent's memory. */
function checkVolumeSize(
  input: ResourcesInput,
  memory: Amount | undefined,
  diagnostics: Diagnostics,
): void {
  const { settings, prefix } = input;
  const { source, value } = settings['volume-size'];
  if (source === 'built in') return;
  const isTooSmall = (quantityOf(value) ?? 0) < DEFAULTS.MIN_VOLUME_BYTES; // 0 would be no limit
  const message = isTooSmall
    ? `${value} is less than the minimum of ${DEFAULTS.MIN_VOLUME_BYTES} bytes`
    : memoryConflict(input, memory);
  if (message === undefined) return;
  const level = source === 'pod' ? '' : ` of the ${source}`;
  diagnostics.invalid({ path: `${prefix}/volume-size${level}`, message });
}

/** Explains that the agent has too little memory to fill its volume: its files are in it, and the kernel would kill it. */
function memoryConflict(
  { pod, settings, prefix }: ResourcesInput,
  memory: Amount | undefined,
): string | undefined {
  const size = settings['volume-size'];
  const limit = memory === undefined ? podLevel(pod, 'memory')?.limit : quantityOf(memory.limit);
  const needed = memoryForVolume(size);
  if (limit === undefined || limit >= needed) return undefined;
  const by = memory === undefined ? 'spec.resources.limits.memory of the pod' : `${prefix}/memory`;
  const least = `${Math.ceil(needed / MIB)}Mi`;
  const most = Math.max(0, Math.floor((limit - BASE_BYTES) / VOLUME_FACTOR / MIB));
  const lower = most > 0 ? `, or set at most ${most}Mi` : '';
  return `${size.value} conflicts with ${by}: the agent holds its files in memory several times, and needs a limit of ${least} for that much; it has ${shown('memory', limit)}: raise that${lower}`;
}

/** Warns of a memory limit in which the agent cannot even start: the kernel would kill it without a reason. */
function checkLeastMemory(
  memory: Amount | undefined,
  { settings, prefix }: Where,
  diagnostics: Diagnostics,
): void {
  const limit = quantityOf(memory?.limit);
  if (settings.memory.source === 'built in' || limit === undefined || limit >= BASE_BYTES) return;
  diagnostics.warn(
    `${prefix}/memory: with a limit of ${memory?.limit ?? ''} the kernel may kill the agent when it starts: set a limit of at least ${BASE_BYTES / MIB}Mi`,
  );
}

/** Undefined where the pod's level has the resource, unless the pod itself sets it for the agent. */
function amountOf(
  name: Resource,
  { source }: Setting<Amount>,
  pod: Pod,
  amount: Amount,
): Amount | undefined {
  return podLevel(pod, name) === undefined || source === 'pod' ? amount : undefined;
}

/** One value of the pod is request and limit. Defaults of other levels were not made for a pod of this class. */
function guaranteedCpu({ value, source }: Setting<Amount>): Amount {
  if (source === 'pod') return { limit: value.request, ...value };
  const all = [LEAST_CPU_LIMIT, value.request, ...(value.limit === undefined ? [] : [value.limit])];
  const most = all.reduce((a, b) => ((quantityOf(b) ?? 0) > (quantityOf(a) ?? 0) ? b : a));
  return { request: most, limit: most };
}

function guaranteedMemory({ value, source }: Setting<Amount>): Amount {
  const { limit = value.request } = value;
  return source === 'pod' ? value : { request: limit, limit };
}

function of<N extends string>(name: N, amount: Amount | undefined): Partial<Record<N, Amount>> {
  return amount === undefined ? {} : ({ [name]: amount } as Partial<Record<N, Amount>>); // N is the only key
}

function resourcesOf(amounts: Readonly<Record<string, Amount>>): Resources {
  const entries = Object.entries(amounts);
  return {
    requests: Object.fromEntries(entries.map(([name, { request }]) => [name, request])),
    // No CPU limit unless requested: throttling would slow down the start.
    limits: Object.fromEntries(
      entries.flatMap(([name, { limit }]) => (limit === undefined ? [] : [[name, limit]])),
    ),
  };
}

interface Where {
  readonly settings: Settings;
  readonly prefix: string;
}

/** Warns if annotations of the pod take the class Guaranteed from it. */
function checkClass(
  { amounts, prefix }: Where & { readonly amounts: Readonly<Record<string, Amount>> },
  diagnostics: Diagnostics,
): void {
  for (const name of ['cpu', 'memory']) {
    const { request, limit } = amounts[name] ?? {};
    if (quantityOf(request) === quantityOf(limit)) continue;
    diagnostics.warn(
      `${prefix}/${name}: the pod loses its QoS class Guaranteed, because request and limit of the agent differ: set one value`,
    );
  }
}

/** Reports an amount of the pod's annotations that the API server would reject because of the pod's own resources. */
function checkFit(
  input: ResourcesInput,
  name: Resource,
  resources: Resources,
  diagnostics: Diagnostics,
): void {
  const { pod, prefix } = input;
  const level = podLevel(pod, name);
  if (level === undefined) return;
  const path = `${prefix}/${name}`;
  const remedy = `remove the annotation, so that the agent shares the pod's ${name}, or raise spec.resources`;
  const sum = requestWithAgent(input, name, resources);
  const most = level.request ?? level.limit;
  if (most !== undefined && sum > most * (1 + 1e-9)) {
    const message = `with the agent the containers request ${shown(name, sum)}, more than the ${shown(name, most)} of spec.resources: ${remedy}`;
    diagnostics.invalid({ path, message });
  }
  const limit = quantityOf(resources.limits[name]);
  if (limit !== undefined && level.limit !== undefined && limit > level.limit) {
    const message = `the agent's limit of ${shown(name, limit)} is more than the limit of spec.resources, ${shown(name, level.limit)}: ${remedy}`;
    diagnostics.invalid({ path, message });
  }
}

/** What all containers request with those of the agent. */
function requestWithAgent(
  { pod, mode, position }: ResourcesInput,
  name: Resource,
  resources: Resources,
): number {
  const agent = { name: AGENT_CONTAINER, resources };
  const first: Container = mode === 'native' ? { ...agent, restartPolicy: 'Always' } : agent;
  const init = (pod.spec.initContainers ?? []).toSpliced(position, 0, first);
  const { containers } = pod.spec;
  return aggregateRequest(init, mode === 'pair' ? [...containers, agent] : containers, name);
}

/** Warns of a CPU limit that makes each start wait for seconds. */
function checkThrottling(
  cpu: Amount | undefined,
  { settings, prefix }: Where,
  diagnostics: Diagnostics,
): void {
  const limit = quantityOf(cpu?.limit);
  const { source } = settings.cpu;
  const isChosen = source === 'pod' || source === 'namespace';
  if (limit === undefined || !isChosen || limit >= (quantityOf(LEAST_CPU_LIMIT) ?? 0)) return;
  const seconds = limit > 0 ? `about ${Math.ceil(START_CPU_SECONDS / limit)} s` : 'for ever';
  diagnostics.warn(
    `${prefix}/cpu: with a limit of ${cpu?.limit ?? ''} a start takes ${seconds}: it needs 0.1 s of CPU; set a limit of at least ${LEAST_CPU_LIMIT}, or none`,
  );
}

function shown(name: Resource, amount: number): string {
  return name === 'cpu'
    ? `${Math.round(amount * 1000)}m`
    : `${Number((amount / 2 ** 20).toFixed(1))}Mi`;
}
