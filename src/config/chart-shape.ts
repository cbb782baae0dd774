/**
 * Shape of the Helm values that the chart alone reads: how the webhook itself is deployed.
 * Admission lets them pass, so that one document serves both.
 */
import { LOG_LEVELS } from '../core/index.ts';
import * as grammar from './grammar.ts';
import * as shape from './shape.ts';

/** Labels may be empty. */
const ANY_TEXT = grammar.matching('a text', /^/);

/** The parts of an image: the webhook's here, the agent's beside it. */
export const IMAGE_GRAMMAR = {
  repository: grammar.imageReference,
  tag: grammar.matching('a tag', /^\w[\w.-]{0,127}$/),
  digest: grammar.matching('`sha256:…`', /^sha256:[0-9a-f]{64}$/),
  pullPolicy: grammar.choice(['Always', 'IfNotPresent', 'Never']),
} as const;

const image = shape.object(
  {
    repository: defaulted(IMAGE_GRAMMAR.repository, 'vouchsafe', 'Image without tag.'),
    tag: shape.parsed(IMAGE_GRAMMAR.tag, 'Tag; the version of the chart by default.'),
    digest: shape.parsed(IMAGE_GRAMMAR.digest, 'Digest.'),
    pullPolicy: defaulted(IMAGE_GRAMMAR.pullPolicy, 'IfNotPresent', 'Pull policy.'),
  },
  'Image of the webhook.',
);

const serviceAccount = shape.object(
  {
    create: flag(true, 'Whether the chart makes it.'),
    name: name('Its name; that of the webhook by default.'),
    annotations: texts('Its annotations.'),
  },
  'Service account of the webhook.',
);

const podDisruptionBudget = shape.object(
  {
    enabled: flag(true, 'Whether there is one.'),
    maxUnavailable: number(1, 1000, 1, 'Replicas that may be evicted at a time.'),
  },
  'Keeps a replica through the drain of nodes.',
);

const networkPolicy = shape.object(
  {
    enabled: flag(true, 'Whether connections to the webhook are limited to its two ports.'),
    metricsFrom: objects(
      'Who may reach the ports of probes and metrics. By default the pods of the own namespace, and with a serviceMonitor or podMonitor all that are labelled `app.kubernetes.io/name: prometheus`.',
    ),
  },
  'NetworkPolicy of the webhook.',
);

const admissionPolicy = shape.object(
  {
    enabled: flag(true, 'Whether there is one; it needs Kubernetes 1.30.'),
    action: defaulted(
      grammar.choice(['deny', 'warn']),
      'deny',
      'What becomes of a pod that asks for the agent and comes without it.',
    ),
  },
  'ValidatingAdmissionPolicy against pods that got past the webhook.',
);

const interval = grammar.matching('a duration of Prometheus such as `30s`', /^[1-9]\d*(ms|s|m)$/);

const monitor = (what: string) =>
  shape.nested(
    shape.object(
      {
        enabled: flag(false, what),
        interval: defaulted(interval, '30s', 'How often.'),
        labels: texts('Labels by which Prometheus finds it.'),
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
          labels: texts('Labels by which Prometheus finds it.'),
        },
        'Alerts.',
      ),
    ),
    dashboard: shape.nested(
      shape.object(
        {
          enabled: flag(false, 'ConfigMap with a Grafana dashboard.'),
          labels: texts('Labels by which the sidecar of Grafana finds it.'),
          annotations: texts('Annotations, such as the folder.'),
        },
        'Grafana dashboard.',
      ),
    ),
  },
  'Objects of the Prometheus operator and Grafana.',
);

/** Top-level values of the chart alone. */
export const CHART_FIELDS = {
  nameOverride: name('Name of the chart in names and labels.'),
  fullnameOverride: name('Beginning of all names; the release by default.'),
  commonLabels: texts('Labels of every object.'),
  global: anyObject('Values shared with other charts; unused.'),
  image: shape.nested(image),
  imagePullSecrets: objects('Secrets to pull the image of the webhook with: `- name: …`.'),
  replicas: number(1, 100, 2, 'Replicas of the webhook.'),
  logLevel: defaulted(grammar.choice(LOG_LEVELS), 'info', 'Log of the webhook.'),
  resources: anyObject('Resources of the webhook, as in a container.'),
  nodeSelector: texts('As in a pod.'),
  tolerations: objects('As in a pod.'),
  affinity: anyObject('As in a pod.'),
  topologySpreadConstraints: objects(
    'As in a pod; a missing `labelSelector` is that of the webhook.',
  ),
  priorityClassName: name('As in a pod.'),
  priorityClassQuota: flag(
    false,
    'Whether the chart makes the ResourceQuota without which some platforms (GKE) refuse system priority classes.',
  ),
  podAnnotations: texts('Annotations of the pods.'),
  podLabels: texts('Labels of the pods.'),
  podDisruptionBudget: shape.nested(podDisruptionBudget),
  service: shape.nested(
    shape.object({ annotations: texts('Its annotations.') }, 'Service of the webhook.'),
  ),
  serviceAccount: shape.nested(serviceAccount),
  rbac: shape.nested(
    shape.object({ create: flag(true, 'Whether the chart makes roles and bindings.') }, 'RBAC.'),
  ),
  networkPolicy: shape.nested(networkPolicy),
  admissionPolicy: shape.nested(admissionPolicy),
  metrics: shape.nested(metrics),
} as const;

/** Values of the chart alone below `webhook`. */
export const CHART_WEBHOOK_FIELDS = {
  annotations: texts('Annotations of the MutatingWebhookConfiguration.'),
  failurePolicy: defaulted(
    grammar.choice(['Fail', 'Ignore']),
    'Fail',
    'What becomes of a pod that asks for the agent while no webhook answers.',
  ),
  timeoutSeconds: number(1, 30, 5, 'How long the API server waits.'),
  reinvocationPolicy: defaulted(
    grammar.choice(['IfNeeded', 'Never']),
    'IfNeeded',
    'Whether the webhook sees a pod again that other webhooks changed after it.',
  ),
  matchConditions: objects('Further conditions in CEL: `- name: …`, `expression: …`.'),
  namespaceSelector: anyObject('Which namespaces, besides those that are excluded.'),
  objectSelector: anyObject('Which pods, by label.'),
  port: number(1, 65_535, 8443, 'Port of the container for the API server.'),
  healthPort: number(1, 65_535, 8080, 'Port of the container for probes and metrics.'),
  hostNetwork: flag(
    false,
    'Whether the webhook uses the network of the node, where the API server cannot reach pods.',
  ),
} as const;

const driverAccount = shape.object(
  {
    create: flag(true, 'Whether the chart makes it.'),
    name: name('Its name; that of the driver by default.'),
    annotations: texts('Its annotations.'),
  },
  'Service account of the CSI driver.',
);

/** Two drivers of one node would wait for each other: a strategy that surges is none. */
const updateStrategy = shape.object(
  {
    type: defaulted(grammar.choice(['RollingUpdate', 'OnDelete']), 'RollingUpdate', 'Its kind.'),
    rollingUpdate: shape.object(
      {
        maxUnavailable: shape.either(
          shape.whole(1, 100_000, 'How many drivers are replaced at a time,'),
          shape.parsed(
            grammar.matching('a share such as `10%`', /^(100|[1-9]\d?)%$/),
            'or which share of them.',
          ),
          (value) => (typeof value === 'string' ? 'second' : 'first'),
        ),
        maxSurge: shape.whole(0, 0, 'None: one driver serves a node at a time.'),
      },
      'How the drivers are replaced, one after the other on each node.',
    ),
  },
  'As in a DaemonSet, without a surge.',
);

const mounter = shape.object(
  { resources: anyObject('Resources of the container, as in a pod.') },
  'The container that mounts, beside the driver: the only one that is privileged.',
);

/** Values of the chart alone below `csi`. */
export const CHART_CSI_FIELDS = {
  kubeletDirectory: defaulted(
    grammar.mountPath,
    '/var/lib/kubelet',
    'Root directory of the kubelet; some distributions have another one.',
  ),
  stateDirectory: defaulted(
    grammar.mountPath,
    '/run/vouchsafe-csi',
    'Directory of the node, in memory, where a driver leaves tokens and leases to its successor; for root alone.',
  ),
  logLevel: defaulted(grammar.choice(LOG_LEVELS), 'info', 'Log of the driver.'),
  healthPort: number(1, 65_535, 8080, 'Port of the container for probes and metrics.'),
  resources: anyObject('Resources of the driver, as in a container; volumes are in its memory.'),
  mounter: shape.nested(mounter),
  nodeSelector: texts('As in a pod.'),
  tolerations: objects('As in a pod; every node by default.'),
  affinity: anyObject('As in a pod.'),
  priorityClassName: name('As in a pod.'),
  updateStrategy: shape.nested(updateStrategy),
  livenessProbe: anyObject('Numbers of the probe, as in a container: `periodSeconds: 10`.'),
  podAnnotations: texts('Annotations of the pods.'),
  podLabels: texts('Labels of the pods.'),
  serviceAccount: shape.nested(driverAccount),
} as const;

/** Paths of what the chart alone reads; `image` is the agent's as well. */
export const CHART_ONLY: readonly string[] = [
  ...Object.keys(CHART_FIELDS).filter((key) => key !== 'image'),
  ...Object.keys(CHART_WEBHOOK_FIELDS).map((key) => `webhook.${key}`),
  ...Object.keys(CHART_CSI_FIELDS).map((key) => `csi.${key}`),
];

function defaulted<T extends string>(
  values: grammar.Grammar<T>,
  value: T,
  description: string,
): shape.Defaulted<T> {
  return shape.withDefault(shape.parsed(values, description), value, value);
}

function flag(value: boolean, description: string): shape.Defaulted<boolean> {
  return shape.withDefault(shape.flag(description), value, value);
}

function number(
  minimum: number,
  maximum: number,
  value: number,
  description: string,
): shape.Defaulted<number> {
  return shape.withDefault(shape.whole(minimum, maximum, description), value, value);
}

function name(description: string): shape.Shape<string> {
  return shape.parsed(grammar.text('a name', 253), description);
}

/** Labels, annotations, selectors. */
function texts(description: string): shape.Shape<Readonly<Record<string, string>>> {
  return shape.dictionary(shape.parsed(ANY_TEXT, ''), /^.+$/, description);
}

/** What Kubernetes itself checks when it gets it. */
function anyObject(description: string): shape.Shape<Readonly<Record<string, unknown>>> {
  return shape.dictionary(shape.anything('As Kubernetes takes it.'), /^.+$/, description);
}

function objects(description: string): shape.Shape<readonly unknown[]> {
  return shape.list(anyObject(''), 64, description);
}
