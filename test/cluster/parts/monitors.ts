/**
 * The kinds of the Prometheus Operator, and what it would have Prometheus scrape by them. Debian's Prometheus does not
 * discover targets in Kubernetes by itself.
 */
import type { List, Pod } from './objects.ts';
import type { Job, TargetGroup } from './prometheus.ts';
import { api, eventually } from './suite.ts';

const GROUP = 'monitoring.coreos.com';
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const KINDS = {
  PodMonitor: 'podmonitors',
  ServiceMonitor: 'servicemonitors',
  PrometheusRule: 'prometheusrules',
} as const;

type Plural = (typeof KINDS)[keyof typeof KINDS];

interface Endpoint {
  readonly port: string;
  readonly path: string;
  readonly honorLabels?: boolean;
}

interface Monitor {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly namespaceSelector: { readonly any?: boolean; readonly matchNames?: readonly string[] };
    /** Of a PodMonitor. */
    readonly podMetricsEndpoints?: readonly Endpoint[];
    /** Of a ServiceMonitor. */
    readonly endpoints?: readonly Endpoint[];
  };
}

interface Service {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

interface EndpointSlice {
  /** Null where there is no endpoint; so may be those. */
  readonly ports: readonly { readonly name: string; readonly port: number }[] | null;
  readonly endpoints:
    | readonly {
        readonly addresses: readonly string[];
        readonly targetRef?: { readonly name: string };
      }[]
    | null;
}

/** Has the API server know the kinds, as an installation of the operator does. */
export async function defineKinds(): Promise<void> {
  for (const [kind, plural] of Object.entries(KINDS)) {
    const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    await api.create(DEFINITIONS, {
      metadata: { name: `${plural}.${GROUP}` },
      spec: {
        group: GROUP,
        scope: 'Namespaced',
        names: { kind, plural, singular: kind.toLowerCase() },
        versions: [
          { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: anything } },
        ],
      },
    });
    await eventually(`there are ${plural}`, () => objectsOf(plural));
  }
}

/** And their objects. */
export async function removeKinds(): Promise<void> {
  for (const plural of Object.values(KINDS)) await api.remove(`${DEFINITIONS}/${plural}.${GROUP}`);
}

/** Groups of all PrometheusRules. */
export async function ruleGroups(): Promise<readonly object[]> {
  const rules = await objectsOf<{ readonly spec: { readonly groups: readonly object[] } }>(
    'prometheusrules',
  );
  return rules.flatMap(({ spec }) => spec.groups);
}

/** What is to be scraped now, by all monitors. */
export async function monitoredJobs(): Promise<readonly Job[]> {
  const ofPods = await jobsOf('podmonitors', podTargets);
  return [...ofPods, ...(await jobsOf('servicemonitors', serviceTargets))];
}

async function objectsOf<T = object>(plural: Plural): Promise<readonly T[]> {
  return (await api.get<List<T>>(`/apis/${GROUP}/v1/${plural}`)).items;
}

type Targets = (monitor: Monitor, endpoint: Endpoint) => Promise<readonly TargetGroup[]>;

async function jobsOf(
  plural: 'podmonitors' | 'servicemonitors',
  targets: Targets,
): Promise<readonly Job[]> {
  const pairs = (await objectsOf<Monitor>(plural)).flatMap((monitor) =>
    (monitor.spec.podMetricsEndpoints ?? monitor.spec.endpoints ?? []).map(
      (endpoint, index) => [monitor, endpoint, index] as const,
    ),
  );
  return Promise.all(
    pairs.map(async ([monitor, endpoint, index]) => ({
      name: `${plural}/${monitor.metadata.namespace}/${monitor.metadata.name}/${index}`,
      path: endpoint.path,
      honorLabels: endpoint.honorLabels ?? false,
      groups: await targets(monitor, endpoint),
    })),
  );
}

/** Every port of the name in a container of any kind, unless the pod has ended. */
async function podTargets(monitor: Monitor, endpoint: Endpoint): Promise<readonly TargetGroup[]> {
  const { items } = await api.get<List<Pod>>('/api/v1/pods');
  const { namespace: own, name } = monitor.metadata;
  return items
    .filter(({ metadata }) => isSelected(monitor, metadata))
    .filter(({ status }) => status?.phase === 'Running' && status.podIP !== undefined)
    .flatMap(({ metadata, spec, status }) =>
      [...spec.containers, ...(spec.initContainers ?? [])].flatMap((container) =>
        portsOf(container)
          .filter((port) => port.name === endpoint.port)
          .map(({ containerPort }) => ({
            targets: [`${status?.podIP ?? ''}:${containerPort}`],
            labels: {
              job: `${own}/${name}`,
              namespace: String(metadata['namespace']),
              pod: metadata.name ?? '',
              container: container.name,
              endpoint: endpoint.port,
            },
          })),
      ),
    );
}

interface Port {
  readonly name?: string;
  readonly containerPort: number;
}

function portsOf(container: Pod['spec']['containers'][number]): readonly Port[] {
  return (container['ports'] ?? []) as readonly Port[]; // as the API server has it
}

/** Every address behind the port of the name of a Service. */
async function serviceTargets(
  monitor: Monitor,
  endpoint: Endpoint,
): Promise<readonly TargetGroup[]> {
  const { items } = await api.get<List<Service>>('/api/v1/services');
  const selected = items.filter(({ metadata }) => isSelected(monitor, metadata));
  const found = await Promise.all(
    selected.map(async ({ metadata: { name, namespace } }) => {
      const selector = encodeURIComponent(`kubernetes.io/service-name=${name}`);
      const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
      const slices = await api.get<List<EndpointSlice>>(`${path}?labelSelector=${selector}`);
      return slices.items.flatMap((slice) =>
        sliceTargets(slice, endpoint.port, { job: name, service: name, namespace }),
      );
    }),
  );
  return found.flat();
}

function sliceTargets(
  { ports, endpoints }: EndpointSlice,
  name: string,
  labels: Readonly<Record<string, string>>,
): readonly TargetGroup[] {
  return (ports ?? [])
    .filter((port) => port.name === name)
    .flatMap(({ port }) =>
      (endpoints ?? []).map(({ addresses, targetRef }) => ({
        targets: addresses.map((address) => `${address}:${port}`),
        labels: { ...labels, endpoint: name, pod: targetRef?.name ?? '' },
      })),
    );
}

function isSelected({ spec }: Monitor, metadata: Pod['metadata'] | Service['metadata']): boolean {
  const { any: isAny = false, matchNames = [] } = spec.namespaceSelector;
  const namespace = (metadata as { namespace?: string }).namespace ?? '';
  const labels = metadata.labels ?? {};
  return (
    (isAny || matchNames.includes(namespace)) &&
    Object.entries(spec.selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  );
}
