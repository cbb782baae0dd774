/**
 * Shape of the Helm values that only the chart reads: how webhook and driver are deployed. Webhook and driver
 * accept and ignore them, so that one document serves all.
 */
import { LOG_LEVELS } from '../../core/index.ts';
import { grammar, shape, type Grammar, type Shape, type Defaulted } from '../schema/index.ts';

/** Values of labels may be empty. */
const ANY_TEXT = grammar.matching('a text', /^/);

/** The parts of an image, that of the webhook or that of the agent. */
export const IMAGE_GRAMMAR = {
  repository: grammar.imageReference,
  tag: grammar.matching('a tag', /^\w[\w.-]{0,127}$/),
  digest: grammar.matching('`sha256:…`', /^sha256:[0-9a-f]{64}$/),
  pullPolicy: grammar.choice(['Always', 'IfNotPresent', 'Never']),
} as const;

const image = shape.object(
  {
    repository: defaulted(IMAGE_GRAMMAR.repository, 'vouchsafe', 'Image without tag.'),
    tag: shape.parsed(IMAGE_GRAMMAR.tag, 'Tag. Default: the version of the chart.'),
    digest: shape.parsed(IMAGE_GRAMMAR.digest, 'Digest.'),
    pullPolicy: defaulted(IMAGE_GRAMMAR.pullPolicy, 'IfNotPresent', 'Pull policy.'),
  },
  'Image of the webhook.',
);

const serviceAccount = shape.object(
  {
    create: flag(true, 'Whether the chart creates it.'),
    name: name('Name. Default: the name of the webhook.'),
    annotations: texts('Annotations.'),
  },
  'Service account of the webhook.',
);

const podDisruptionBudget = shape.object(
  {
    enabled: flag(true, 'Whether the chart creates one.'),
    maxUnavailable: number(1, 1000, 1, 'Replicas that may be evicted at the same time.'),
  },
  'Keeps a replica running while nodes are drained.',
);

const networkPolicy = shape.object(
  {
    enabled: flag(true, 'Whether connections to the webhook are limited to its two ports.'),
    metricsFrom: objects(
      'Peers that may connect to the port of probes and metrics. Default: the pods of the same namespace, and with a serviceMonitor or podMonitor all pods labelled `app.kubernetes.io/name: prometheus`.',
    ),
  },
  'NetworkPolicy of the webhook.',
);

const admissionPolicy = shape.object(
  {
    enabled: flag(true, 'Whether the chart creates admission policies; requires Kubernetes 1.30.'),
    action: defaulted(
      grammar.choice(['deny', 'warn']),
      'deny',
      'What happens to a pod that requests injection and was not injected.',
    ),
  },
  'ValidatingAdmissionPolicy against pods that bypassed the webhook.',
);

const interval = grammar.matching('a Prometheus duration such as `30s`', /^[1-9]\d*(ms|s|m)$/);

const monitor = (what: string) =>
  shape.nested(
    shape.object(
      {
        enabled: flag(false, what),
        interval: defaulted(interval, '30s', 'Scrape interval.'),
        labels: texts('Labels by which Prometheus selects it.'),
      },
      what,
    ),
  );

const metrics = shape.object(
  {
    serviceMonitor: monitor('ServiceMonitor for the webhook.'),
    podMonitor: monitor('PodMonitor for the agents in all namespaces.'),
    rules: shape.nested(
      shape.object(
        {
          enabled: flag(false, 'PrometheusRule with alerts.'),
          labels: texts('Labels by which Prometheus selects it.'),
        },
        'Alerts.',
      ),
    ),
    dashboard: shape.nested(
      shape.object(
        {
          enabled: flag(false, 'ConfigMap with a Grafana dashboard.'),
          labels: texts('Labels by which the Grafana sidecar selects it.'),
          annotations: texts('Annotations, for example the folder.'),
        },
        'Grafana dashboard.',
      ),
    ),
  },
  'Objects for the Prometheus Operator and Grafana.',
);

/** Top-level values that only the chart reads. */
export const CHART_FIELDS = {
  nameOverride: name('Replaces the name of the chart in names and labels.'),
  fullnameOverride: name('Prefix of all names. Default: the release.'),
  commonLabels: texts('Labels of every object.'),
  global: anyObject('Values shared with other charts; unused.'),
  image: shape.nested(image),
  imagePullSecrets: objects('Secrets for pulling the image of the webhook: `- name: …`.'),
  replicas: number(1, 100, 2, 'Replicas of the webhook.'),
  logLevel: defaulted(grammar.choice(LOG_LEVELS), 'info', 'Log level of the webhook.'),
  resources: anyObject('Resources of the webhook, as in a container.'),
  nodeSelector: texts('As in a pod.'),
  tolerations: objects('As in a pod.'),
  affinity: anyObject('As in a pod.'),
  topologySpreadConstraints: objects(
    'As in a pod. Default `labelSelector`: the pods of the webhook.',
  ),
  priorityClassName: name('As in a pod.'),
  priorityClassQuota: flag(
    false,
    'Whether the chart creates the ResourceQuota that some platforms (GKE) require for system priority classes.',
  ),
  podAnnotations: texts('Annotations of the pods.'),
  podLabels: texts('Labels of the pods.'),
  podDisruptionBudget: shape.nested(podDisruptionBudget),
  service: shape.nested(
    shape.object({ annotations: texts('Annotations.') }, 'Service of the webhook.'),
  ),
  serviceAccount: shape.nested(serviceAccount),
  rbac: shape.nested(
    shape.object({ create: flag(true, 'Whether the chart creates roles and bindings.') }, 'RBAC.'),
  ),
  networkPolicy: shape.nested(networkPolicy),
  admissionPolicy: shape.nested(admissionPolicy),
  metrics: shape.nested(metrics),
} as const;

/** Values below `webhook` that only the chart reads. */
export const CHART_WEBHOOK_FIELDS = {
  annotations: texts('Annotations of the MutatingWebhookConfiguration.'),
  failurePolicy: defaulted(
    grammar.choice(['Fail', 'Ignore']),
    'Fail',
    'What happens to a pod that requests injection while no webhook responds.',
  ),
  timeoutSeconds: number(1, 30, 5, 'How long the API server waits for the webhook.'),
  reinvocationPolicy: defaulted(
    grammar.choice(['IfNeeded', 'Never']),
    'IfNeeded',
    'Whether the webhook is called again for a pod that other webhooks changed after it.',
  ),
  matchConditions: objects('Additional conditions in CEL: `- name: …`, `expression: …`.'),
  namespaceSelector: anyObject('Selects namespaces, in addition to `excludedNamespaces`.'),
  objectSelector: anyObject('Selects pods by label.'),
  port: number(1, 65_535, 8443, 'Container port for the API server.'),
  healthPort: number(1, 65_535, 8080, 'Container port for probes and metrics.'),
  hostNetwork: flag(
    false,
    'Whether the webhook uses the host network, for clusters whose API server cannot reach pods.',
  ),
} as const;

const driverAccount = shape.object(
  {
    create: flag(true, 'Whether the chart creates it.'),
    name: name('Name. Default: the name of the driver.'),
    annotations: texts('Annotations.'),
  },
  'Service account of the CSI driver.',
);

/** A surge is not possible: a second driver on a node waits for the first one to end. */
const updateStrategy = shape.object(
  {
    type: defaulted(grammar.choice(['RollingUpdate', 'OnDelete']), 'RollingUpdate', 'Type.'),
    rollingUpdate: shape.object(
      {
        maxUnavailable: shape.either(
          shape.whole(1, 100_000, 'How many drivers may be unavailable at the same time,'),
          shape.parsed(
            grammar.matching('a percentage such as `10%`', /^(100|[1-9]\d?)%$/),
            'or the percentage of them.',
          ),
          (value) => (typeof value === 'string' ? 'second' : 'first'),
        ),
        maxSurge: shape.whole(0, 0, 'Must be 0: only one driver serves a node at a time.'),
      },
      'How the drivers of the nodes are replaced.',
    ),
  },
  'As in a DaemonSet, without a surge.',
);

const mounter = shape.object(
  { resources: anyObject('Resources of the container, as in a pod.') },
  'The container beside the driver that mounts: the only privileged one.',
);

/** Values below `csi` that only the chart reads. */
export const CHART_CSI_FIELDS = {
  kubeletDirectory: defaulted(
    grammar.mountPath,
    '/var/lib/kubelet',
    'Root directory of the kubelet; some distributions use another one.',
  ),
  stateDirectory: defaulted(
    grammar.mountPath,
    '/run/vouchsafe-csi',
    'Directory on the node, in memory and only for root, in which a driver leaves tokens and leases for its successor.',
  ),
  logLevel: defaulted(grammar.choice(LOG_LEVELS), 'info', 'Log level of the driver.'),
  healthPort: number(1, 65_535, 8080, 'Container port for probes and metrics.'),
  resources: anyObject(
    'Resources of the driver, as in a container. Volumes are part of its memory.',
  ),
  mounter: shape.nested(mounter),
  nodeSelector: texts('As in a pod.'),
  tolerations: objects('As in a pod. Default: all taints are tolerated.'),
  affinity: anyObject('As in a pod.'),
  priorityClassName: name('As in a pod.'),
  updateStrategy: shape.nested(updateStrategy),
  livenessProbe: anyObject(
    'Timings and thresholds of the probe, as in a container: `periodSeconds: 10`.',
  ),
  podAnnotations: texts('Annotations of the pods.'),
  podLabels: texts('Labels of the pods.'),
  serviceAccount: shape.nested(driverAccount),
} as const;

/** Paths of the values that only the chart reads; `image` is also read for the agent. */
export const CHART_ONLY: readonly string[] = [
  ...Object.keys(CHART_FIELDS).filter((key) => key !== 'image'),
  ...Object.keys(CHART_WEBHOOK_FIELDS).map((key) => `webhook.${key}`),
  ...Object.keys(CHART_CSI_FIELDS).map((key) => `csi.${key}`),
];

function defaulted<T extends string>(
  values: Grammar<T>,
  value: T,
  description: string,
): Defaulted<T> {
  return shape.withDefault(shape.parsed(values, description), value, value);
}

function flag(value: boolean, description: string): Defaulted<boolean> {
  return shape.withDefault(shape.flag(description), value, value);
}

function number(
  minimum: number,
  maximum: number,
  value: number,
  description: string,
): Defaulted<number> {
  return shape.withDefault(shape.whole(minimum, maximum, description), value, value);
}

function name(description: string): Shape<string> {
  return shape.parsed(grammar.text('a name', 253), description);
}

/** Labels, annotations, selectors. */
function texts(description: string): Shape<Readonly<Record<string, string>>> {
  return shape.dictionary(shape.parsed(ANY_TEXT, ''), /^.+$/, description);
}

/** Kubernetes validates these. */
function anyObject(description: string): Shape<Readonly<Record<string, unknown>>> {
  return shape.dictionary(shape.anything('As in Kubernetes.'), /^.+$/, description);
}

function objects(description: string): Shape<readonly unknown[]> {
  return shape.list(anyObject(''), 64, description);
}
