/**
 * Service meshes: which of them a pod is in, and how to keep the agent's port out of their redirection. A proxy that
 * accepts only mTLS closes the kubelet's connections, so that a startup probe through it never succeeds.
 */
import { fieldsOf } from '../core/index.ts';
import type { Annotations } from '../config/annotations/index.ts';
import type { Container, Pod } from './pod.ts';
import { hasPort, MAX_LIST_CHARS, withPort } from './port-list.ts';

/** What is known of a mesh. Names of containers and annotations are those of its documentation. */
interface Mesh {
  readonly name: string;
  /** Its proxies, as ordinary containers or as native sidecars. */
  readonly proxies: readonly string[];
  /** Init containers that redirect the pod's connections to the proxy. */
  readonly redirecting: readonly string[];
  /** Init containers that check the redirection of the mesh's CNI plug-in, which is active from the start of the pod. */
  readonly checking: readonly string[];
  /** Annotation with the ports whose incoming connections are not redirected. */
  readonly inbound: string;
  /** What the mesh takes for {@link inbound} if a pod does not set it. */
  readonly inboundDefault: string;
  /** Annotations that exclude outgoing connections; the first is by port. */
  readonly outbound: readonly string[];
  /** Where the ports of {@link inbound} are once the mesh has injected: the argument after this flag. */
  readonly flag?: string;
  /** Labels and annotations by which a pod requests the proxy, with the values. */
  readonly requests: { readonly name: string; readonly values: readonly string[] };
  /** A label that requests the proxy with any value, unless {@link requests} has the value `false`. */
  readonly revision?: string;
  /** True if the mesh reads its annotations on the Namespace as well. */
  readonly readsNamespace: boolean;
}

const MESHES: readonly Mesh[] = [
  {
    name: 'Istio',
    proxies: ['istio-proxy'],
    redirecting: ['istio-init'],
    checking: ['istio-validation'],
    inbound: 'traffic.sidecar.istio.io/excludeInboundPorts',
    inboundDefault: '',
    outbound: [
      'traffic.sidecar.istio.io/excludeOutboundPorts',
      'traffic.sidecar.istio.io/excludeOutboundIPRanges',
      'traffic.sidecar.istio.io/includeOutboundIPRanges',
    ],
    flag: '-d',
    requests: { name: 'sidecar.istio.io/inject', values: ['true'] },
    revision: 'istio.io/rev',
    readsNamespace: false,
  },
  {
    name: 'Linkerd',
    proxies: ['linkerd-proxy'],
    redirecting: ['linkerd-init'],
    checking: ['linkerd-network-validator'],
    inbound: 'config.linkerd.io/skip-inbound-ports',
    inboundDefault: '4567,4568',
    outbound: ['config.linkerd.io/skip-outbound-ports', 'config.linkerd.io/skip-subnets'],
    flag: '--inbound-ports-to-ignore',
    requests: { name: 'linkerd.io/inject', values: ['enabled', 'ingress'] },
    readsNamespace: true,
  },
  {
    name: 'Kuma',
    proxies: ['kuma-sidecar'],
    redirecting: ['kuma-init'],
    checking: ['kuma-validation'],
    inbound: 'traffic.kuma.io/exclude-inbound-ports',
    inboundDefault: '',
    outbound: [
      'traffic.kuma.io/exclude-outbound-ports',
      'traffic.kuma.io/exclude-outbound-ports-for-uids',
    ],
    requests: { name: 'kuma.io/sidecar-injection', values: ['enabled', 'true'] },
    readsNamespace: false,
  },
  {
    name: 'Consul',
    proxies: ['consul-dataplane'],
    redirecting: ['consul-connect-inject-init'],
    checking: [],
    inbound: 'consul.hashicorp.com/transparent-proxy-exclude-inbound-ports',
    inboundDefault: '',
    outbound: [
      'consul.hashicorp.com/transparent-proxy-exclude-outbound-ports',
      'consul.hashicorp.com/transparent-proxy-exclude-outbound-cidrs',
      'consul.hashicorp.com/transparent-proxy-exclude-uids',
    ],
    requests: { name: 'consul.hashicorp.com/connect-inject', values: ['true'] },
    readsNamespace: false,
  },
];

/** True for proxies of meshes. */
export function isMeshProxy(name: string): boolean {
  return MESHES.some(({ proxies }) => proxies.includes(name));
}

/** True for init containers that redirect the pod's connections to a proxy, or check that. */
export function isMeshSetup(name: string): boolean {
  return MESHES.some((mesh) => isSetupOf(mesh, name));
}

function isSetupOf({ redirecting, checking }: Mesh, name: string): boolean {
  return redirecting.includes(name) || checking.includes(name);
}

/** A text that an injection replaced; `was` is null if there was none. */
export interface Replacement {
  readonly was: string | null;
  readonly now: string;
}

/** What excludes a port from the redirection of a pod's meshes. */
export interface PortExclusion {
  /** By annotation. */
  readonly annotations: Readonly<Record<string, Replacement>>;
  /** By name of the mesh's init container: the argument of its flag. */
  readonly args: Readonly<Record<string, Replacement>>;
}

/** Changes nothing. */
export const NO_EXCLUSION: PortExclusion = { annotations: {}, args: {} };

/** Input of {@link excludePort}. */
export interface ExclusionInput {
  readonly pod: Pod;
  readonly namespaceAnnotations?: Annotations | undefined;
  readonly port: number;
}

/**
 * Excludes a port from the redirection of the meshes that the pod is in. The annotation takes effect where the mesh reads
 * it later: when its webhook is called again, in its CNI plug-in, and in manifests that are injected before they are
 * applied. A mesh that has injected already has its ports in the arguments of its init container.
 */
export function excludePort(input: ExclusionInput): PortExclusion {
  const meshes = MESHES.filter((mesh) => isIn(mesh, input));
  const annotations = meshes.flatMap((mesh): [string, Replacement][] => {
    const was = input.pod.metadata.annotations?.[mesh.inbound];
    const list = was ?? inheritedPorts(mesh, input);
    if (list.length > MAX_LIST_CHARS || hasPort(list, input.port)) return [];
    return [[mesh.inbound, { was: was ?? null, now: withPort(list, input.port) }]];
  });
  const args = meshes.flatMap((mesh) =>
    redirectingContainers(mesh, input.pod).flatMap((one): [string, Replacement][] => {
      const was = argumentAfter(one, mesh.flag);
      if (was === undefined || hasPort(was, input.port)) return [];
      return [[one.name, { was, now: withPort(was, input.port) }]];
    }),
  );
  return { annotations: Object.fromEntries(annotations), args: Object.fromEntries(args) };
}

/**
 * Warnings about meshes that have injected already and whose init container does not show its ports: the annotation is
 * too late, unless their webhook is called again.
 */
export function lateExclusions(input: ExclusionInput): string[] {
  return MESHES.filter(
    (mesh) =>
      isIn(mesh, input) &&
      redirectingContainers(mesh, input.pod).some(
        (one) => argumentAfter(one, mesh.flag) === undefined,
      ) &&
      !hasPort(input.pod.metadata.annotations?.[mesh.inbound] ?? '', input.port),
  ).map(
    ({ name, inbound }) =>
      `${name} was injected before the agent, and may close the connections of its startup probe: set ${inbound}: "${input.port}" in the pod template`,
  );
}

/**
 * Warnings about meshes that redirect the agent's connections while it waits for Vault, but whose proxy starts only
 * with the application.
 */
export function proxylessStarts(
  pod: Pod,
  preceding: readonly Container[],
  prefix: string,
): string[] {
  const names = new Set(preceding.map(({ name }) => name));
  return MESHES.flatMap((mesh) => {
    const setup = [...mesh.redirecting, ...mesh.checking].find((one) => names.has(one));
    const hasProxy = mesh.proxies.some((one) => names.has(one));
    const isExcluded = mesh.outbound.some((one) => pod.metadata.annotations?.[one] !== undefined);
    if (setup === undefined || hasProxy || isExcluded) return [];
    const remedies = [
      `make the proxy a native sidecar`,
      ...(mesh.redirecting.includes(setup) ? [`set ${prefix}/init-first: "true"`] : []),
      `exclude the port of Vault (${mesh.outbound[0] ?? ''})`,
    ];
    return [
      `${setup}: ${mesh.name} redirects the agent to a proxy that starts after it: ${remedies.join(', or ')}`,
    ];
  });
}

/** The pod with a port excluded. */
export function withExclusion(pod: Pod, { annotations, args }: PortExclusion): Pod {
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations: replaceAll(pod.metadata.annotations, annotations) },
    spec: withArguments(pod.spec, args, ({ now }) => now),
  };
}

/** The pod as it was before {@link withExclusion}. Values that others have changed since then are kept. */
export function withoutExclusion(pod: Pod, { annotations, args }: PortExclusion): Pod {
  const present = pod.metadata.annotations ?? {};
  const ours = Object.entries(annotations).filter(
    ([name, { now }]) => MESHES.some(({ inbound }) => inbound === name) && present[name] === now,
  );
  const kept = Object.fromEntries(
    Object.entries(present).filter(
      ([name]) => !ours.some(([one, { was }]) => one === name && was === null),
    ),
  );
  const before = ours.flatMap(([name, { was }]) => (was === null ? [] : [[name, was] as const]));
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations: { ...kept, ...Object.fromEntries(before) } },
    spec: withArguments(pod.spec, args, ({ was, now }, text) =>
      text === now ? (was ?? text) : text,
    ),
  };
}

function replaceAll(
  annotations: Annotations | null | undefined,
  replacements: PortExclusion['annotations'],
): Annotations {
  const entries = Object.entries(replacements).map(([name, { now }]) => [name, now] as const);
  return { ...annotations, ...Object.fromEntries(entries) };
}

function withArguments(
  spec: Pod['spec'],
  replacements: PortExclusion['args'],
  textOf: (replacement: Replacement, text: string) => string,
): Pod['spec'] {
  if (!Array.isArray(spec.initContainers) || Object.keys(replacements).length === 0) return spec;
  const initContainers = spec.initContainers.map((one: Container): Container => {
    const mesh = MESHES.find(({ redirecting }) => redirecting.includes(one.name));
    const text = argumentAfter(one, mesh?.flag);
    const replacement = replacements[one.name];
    if (text === undefined || replacement === undefined) return one;
    const args = listOf(one['args']);
    const index = args.indexOf(mesh?.flag) + 1;
    return { ...one, args: args.with(index, textOf(replacement, text)) };
  });
  return { ...spec, initContainers };
}

function isIn(mesh: Mesh, input: ExclusionInput): boolean {
  const { spec } = input.pod;
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  return (
    all.some(({ name }) => mesh.proxies.includes(name) || isSetupOf(mesh, name)) ||
    isRequested(mesh, input)
  );
}

function isRequested(mesh: Mesh, { pod, namespaceAnnotations }: ExclusionInput): boolean {
  const { name, values } = mesh.requests;
  const labels = fieldsOf(pod.metadata['labels']);
  const inherited = mesh.readsNamespace ? namespaceAnnotations?.[name] : undefined;
  const requested = [labels[name], pod.metadata.annotations?.[name] ?? inherited];
  if (requested.some((one) => typeof one === 'string' && values.includes(one))) return true;
  const revision = labels[mesh.revision ?? ''];
  return typeof revision === 'string' && revision !== '' && !requested.includes('false');
}

/** The annotation of a pod takes the place of that of its namespace, and of the mesh's default. */
function inheritedPorts(mesh: Mesh, { namespaceAnnotations }: ExclusionInput): string {
  const ofNamespace = mesh.readsNamespace ? namespaceAnnotations?.[mesh.inbound] : undefined;
  return ofNamespace ?? mesh.inboundDefault;
}

function redirectingContainers(mesh: Mesh, { spec }: Pod): readonly Container[] {
  return (spec.initContainers ?? []).filter(({ name }) => mesh.redirecting.includes(name));
}

/** The text after a flag, unless it is longer than any list of ports, among a container's arguments. */
function argumentAfter(container: Container, flag: string | undefined): string | undefined {
  const args = listOf(container['args']);
  const index = flag === undefined ? -1 : args.indexOf(flag);
  const text = index < 0 ? undefined : args[index + 1];
  return typeof text === 'string' && text.length <= MAX_LIST_CHARS ? text : undefined;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
