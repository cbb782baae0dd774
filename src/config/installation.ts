/**
 * The installation's configuration: the Helm values that admission needs. Ring: config.
 */
import { problemsError, type Problem } from '../core/index.ts';
import { isSettingName, SETTINGS, type Annotation, type Level } from './annotations.ts';
import * as grammar from './grammar.ts';
import type { JsonSchema } from './json-schema.ts';
import * as shape from './shape.ts';

/** A Vault that pods may choose by name. */
export interface VaultConnection {
  readonly address: string;
  readonly namespace: string | undefined;
  readonly caPem: string | undefined;
  /** A ConfigMap with the CA, in the pod's own namespace (trust-manager puts such ones everywhere). */
  readonly caConfigMap: { readonly name: string; readonly key: string } | undefined;
  readonly tlsServerName: string | undefined;
}

/** How pods reach the Workload API. */
export interface SpiffeInstallation {
  /** `unix:///run/spire/sockets/agent.sock` */
  readonly socket: string;
  /** What is mounted at the socket's directory: a CSI volume, a directory of the node, or nothing. */
  readonly volume: 'csi' | 'hostPath' | 'none';
  readonly csiDriver: string;
  /** The node's directory, where `volume` is `hostPath`. */
  readonly hostPath: string;
}

/** Everything about one installation that admission goes by. */
export interface Installation {
  /** Without the slash: `vouchsafe.dev`. */
  readonly annotationPrefix: string;
  readonly agent: {
    readonly image: string;
    readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
    /** False where the platform assigns UIDs itself, as OpenShift does. */
    readonly setUser: boolean;
  };
  /** Defaults of settings by annotation name without prefix. */
  readonly defaults: Readonly<Record<string, string>>;
  readonly vault: {
    /** Name of the connection of pods that name none. */
    readonly default: string;
    /** Whether a pod may give an address of its own. */
    readonly allowPodAddress: boolean;
    readonly connections: Readonly<Record<string, VaultConnection>>;
  };
  readonly spiffe: SpiffeInstallation;
  readonly webhook: {
    /** Namespaces whose pods are never touched. */
    readonly excludedNamespaces: readonly string[];
    /** Limit of one request. */
    readonly maxBodyBytes: number;
  };
}

/** Namespaces without which the cluster cannot heal itself. */
export const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease'] as const;

const DEFAULT_IMAGE = { repository: 'vouchsafe', tag: '0.1.0' };
const DEFAULT_VAULT = 'https://vault.vault.svc:8200';
const DEFAULT_SOCKET = '/run/spire/sockets/agent.sock';
/** The API server sends at most 3 MiB of object; the review doubles none of it on CREATE. */
const DEFAULT_MAX_BODY_BYTES = 3 * 1024 * 1024;

/** What the chart alone reads; admission lets it pass unread. */
const CHART_ONLY = [
  'affinity',
  'admissionPolicy',
  'certificate',
  'commonLabels',
  'csi',
  'fullnameOverride',
  'global',
  'image',
  'imagePullSecrets',
  'logLevel',
  'metrics',
  'nameOverride',
  'networkPolicy',
  'nodeSelector',
  'podAnnotations',
  'podDisruptionBudget',
  'podLabels',
  'priorityClassName',
  'rbac',
  'replicas',
  'resources',
  'service',
  'serviceAccount',
  'tolerations',
  'topologySpreadConstraints',
] as const;

const WEBHOOK_CHART_ONLY = [
  'annotations',
  'failurePolicy',
  'matchConditions',
  'namespaceSelector',
  'objectSelector',
  'port',
  'reinvocationPolicy',
  'timeoutSeconds',
] as const;

const configMapKey = shape.object(
  {
    name: shape.required(shape.parsed(grammar.text('a name', 253), 'ConfigMap.')),
    key: shape.required(shape.parsed(grammar.text('a key', 253), 'Key of the ConfigMap.')),
  },
  'ConfigMap in the namespace of the pod that holds the CA.',
);

const connection = shape.object(
  {
    address: shape.required(shape.parsed(grammar.httpOrigin, 'Address of Vault.')),
    namespace: shape.parsed(grammar.text('a Vault namespace'), 'Vault namespace.'),
    caPem: shape.parsed(grammar.pem, 'CA in PEM.'),
    caConfigMap: configMapKey,
    tlsServerName: shape.parsed(grammar.text('a host name', 253), 'Name in the certificate.'),
  },
  'One Vault.',
  (value, place) => {
    if (value.caPem !== undefined && value.caConfigMap !== undefined) {
      place.at('caPem').problem('contradicts caConfigMap: give one of the two');
    }
  },
);

const vault = shape.object(
  {
    default: shape.parsed(grammar.text('the name of a connection', 253), 'Connection by default.'),
    allowPodAddress: shape.flag('Whether a pod may give an address of its own.'),
    connections: shape.dictionary(connection, /^[a-z0-9][a-z0-9.-]*$/, 'Connections by name.'),
  },
  'The Vaults that pods may use.',
);

const agent = shape.object(
  {
    image: shape.object(
      {
        repository: shape.parsed(grammar.imageReference, 'Image without tag.'),
        tag: shape.parsed(grammar.text('a tag', 128), 'Tag.'),
        digest: shape.parsed(grammar.matching('`sha256:…`', /^sha256:[0-9a-f]{64}$/), 'Digest.'),
        pullPolicy: shape.parsed(grammar.choice(['Always', 'IfNotPresent', 'Never']), 'Policy.'),
      },
      'Image of the agent.',
    ),
    setUser: shape.flag('False where the platform assigns UIDs itself, as OpenShift does.'),
  },
  'The container that pods get.',
);

const spiffe = shape.object(
  {
    socket: shape.parsed(
      grammar.workloadSocket,
      'Workload API as the pod sees it: a path, `unix:///path` or `tcp://IP:port`.',
    ),
    volume: shape.parsed(grammar.choice(['csi', 'hostPath', 'none']), 'What is mounted there.'),
    csiDriver: shape.parsed(grammar.text('the name of a CSI driver', 63), 'CSI driver.'),
    hostPath: shape.parsed(
      grammar.mountPath,
      'Directory of the node; that of the socket by default.',
    ),
  },
  'How pods reach the Workload API.',
  (value, place) => {
    if (value.socket?.startsWith('tcp:') === true && value.volume !== 'none') {
      place.at('volume').problem('must be none: a tcp socket has no directory to mount');
    }
    if (value.hostPath !== undefined && value.volume !== 'hostPath') {
      place.at('hostPath').problem('has no effect unless volume is hostPath');
    }
  },
);

const webhook = shape.object(
  {
    excludedNamespaces: shape.list(
      shape.parsed(grammar.text('a namespace', 63), 'a namespace'),
      256,
      `Namespaces that are never touched, besides ${SYSTEM_NAMESPACES.join(', ')}.`,
    ),
    maxBodyBytes: shape.whole(64 * 1024, 16 * 1024 * 1024, 'Limit of one request in bytes.'),
    ...leftToChart(WEBHOOK_CHART_ONLY),
  },
  'The webhook.',
);

/** A default is read by the grammar of its annotation, so that it fails here and not in some pod. */
const defaultsShape: shape.Shape<Readonly<Record<string, string>>> = {
  schema: defaultsSchema(),
  read(value, place) {
    if (!shape.isRecord(value)) return place.problem('must be an object');
    const known = Object.keys(SETTINGS).filter(isInstallationSetting);
    const entries = Object.entries(value).flatMap(([name, given]): [string, string][] => {
      if (!isInstallationSetting(name)) {
        place.at(name).problem(shape.unknownName(name, known));
        return [];
      }
      // Helm users write `true` and `9102` without quotes.
      const text = typeof given === 'boolean' || typeof given === 'number' ? String(given) : given;
      const spec: Annotation<unknown> = SETTINGS[name];
      const result = shape.parsed(spec.grammar, '').read(text, place.at(name));
      return typeof text === 'string' && result !== undefined ? [[name, text]] : [];
    });
    return Object.fromEntries(entries);
  },
};

const installation = shape.object(
  {
    annotationPrefix: shape.parsed(
      grammar.matching(
        'a DNS name such as `vouchsafe.dev`',
        /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
      ),
      'Prefix of the annotations, without the slash.',
    ),
    agent,
    defaults: defaultsShape,
    vault,
    spiffe,
    webhook,
    ...leftToChart(CHART_ONLY),
  },
  'Values of the Vouchsafe chart.',
);

/** JSON Schema of what admission reads; the chart's `values.schema.json` is made from it. */
export const INSTALLATION_SCHEMA: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Values of the Vouchsafe chart',
  ...installation.schema,
};

/**
 * Reads the values of an installation; an empty document is an installation with every default. Deeply frozen.
 *
 * @throws VouchsafeError `ERR_CONFIG_INVALID` that lists every problem with its place.
 */
export function parseInstallation(values: unknown): Installation {
  const problems: Problem[] = [];
  const place = new shape.Place('', problems);
  const raw = installation.read(values ?? {}, place);
  const result = raw === undefined ? undefined : build(raw, place);
  if (result === undefined || problems.length > 0) {
    throw problemsError('ERR_CONFIG_INVALID', 'the installation values are not valid', problems);
  }
  return shape.deepFreeze(result);
}

function build(
  raw: NonNullable<ReturnType<typeof installation.read>>,
  place: shape.Place,
): Installation {
  return {
    annotationPrefix: raw.annotationPrefix ?? 'vouchsafe.dev',
    agent: {
      image: imageOf(raw.agent?.image),
      imagePullPolicy: raw.agent?.image?.pullPolicy ?? 'IfNotPresent',
      setUser: raw.agent?.setUser ?? true,
    },
    defaults: raw.defaults ?? {},
    vault: vaultOf(raw.vault, raw.defaults?.['vault'], place.at('vault')),
    spiffe: spiffeOf(raw.spiffe),
    webhook: {
      excludedNamespaces: [...SYSTEM_NAMESPACES, ...(raw.webhook?.excludedNamespaces ?? [])],
      maxBodyBytes: raw.webhook?.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES,
    },
  };
}

function imageOf(
  image:
    | {
        readonly repository?: string | undefined;
        readonly tag?: string | undefined;
        readonly digest?: string | undefined;
      }
    | undefined,
): string {
  const repository = image?.repository ?? DEFAULT_IMAGE.repository;
  const named = `${repository}:${image?.tag ?? DEFAULT_IMAGE.tag}`;
  if (image?.digest === undefined) return named;
  return image.tag === undefined ? `${repository}@${image.digest}` : `${named}@${image.digest}`;
}

function vaultOf(
  raw: ReturnType<typeof vault.read>,
  chosen: string | undefined,
  place: shape.Place,
): Installation['vault'] {
  const connections = Object.fromEntries(
    Object.entries(raw?.connections ?? { default: { address: DEFAULT_VAULT } }).map(
      ([name, one]): [string, VaultConnection] => [name, connectionOf(one)],
    ),
  );
  const names = Object.keys(connections);
  const fallback = raw?.default ?? (names.length === 1 ? names[0] : undefined) ?? 'default';
  if (!Object.hasOwn(connections, fallback)) {
    place.at('default').missing(`there is no connection "${fallback}": ${names.join(', ')}`);
  }
  const allowPodAddress = raw?.allowPodAddress ?? false;
  const isAddress = chosen !== undefined && /^https?:/.test(chosen) && allowPodAddress;
  if (chosen !== undefined && !isAddress && !Object.hasOwn(connections, chosen)) {
    place.at('connections').problem(`defaults.vault names "${chosen}", which is not among them`);
  }
  return { default: fallback, allowPodAddress, connections };
}

function connectionOf(
  raw: NonNullable<ReturnType<typeof connection.read>> | { readonly address: string },
): VaultConnection {
  const given: Partial<NonNullable<ReturnType<typeof connection.read>>> = raw;
  const map = given.caConfigMap;
  return {
    // A missing address was reported; the result is thrown away then.
    address: given.address ?? '',
    namespace: given.namespace,
    caPem: given.caPem,
    caConfigMap: map === undefined ? undefined : { name: map.name ?? '', key: map.key ?? '' },
    tlsServerName: given.tlsServerName,
  };
}

function spiffeOf(raw: ReturnType<typeof spiffe.read>): SpiffeInstallation {
  const socket = raw?.socket ?? `unix://${DEFAULT_SOCKET}`;
  const path = socket.startsWith('unix://') ? socket.slice('unix://'.length) : DEFAULT_SOCKET;
  return {
    socket,
    volume: raw?.volume ?? 'csi',
    csiDriver: raw?.csiDriver ?? 'csi.spiffe.io',
    hostPath: raw?.hostPath ?? path.slice(0, path.lastIndexOf('/')),
  };
}

function leftToChart<const N extends string>(names: readonly N[]): Record<N, shape.Shape<unknown>> {
  const entries = names.map((name) => [name, shape.anything('Read by the chart alone.')]);
  return Object.fromEntries(entries) as Record<N, shape.Shape<unknown>>; // one entry per name
}

function isInstallationSetting(name: string): name is keyof typeof SETTINGS {
  if (!isSettingName(name)) return false;
  const levels: readonly Level[] = SETTINGS[name].levels;
  return levels.includes('installation');
}

function defaultsSchema(): JsonSchema {
  const properties = Object.fromEntries(
    Object.keys(SETTINGS)
      .filter(isInstallationSetting)
      .map((name) => [name, { description: SETTINGS[name].description }]),
  );
  return {
    type: 'object',
    description: 'Defaults of the annotations, by name without prefix.',
    properties,
    additionalProperties: false,
  };
}
