/**
 * Shape of the Helm values.
 */
import { isRecord, OPERATIONS } from '../../core/index.ts';
import {
  AGENT_OVERRIDES,
  isSettingName,
  SETTINGS,
  type Annotation,
  type Level,
} from '../annotations/index.ts';
import { CA_FIELDS, checkCaSources } from './ca-shape.ts';
import { CHART_FIELDS, CHART_WEBHOOK_FIELDS, IMAGE_GRAMMAR } from './chart-shape.ts';
import { csiShape } from './csi-shape.ts';
import {
  DEFAULTS,
  grammar,
  redirectHosts,
  shape,
  vaultProxy,
  type Defaulted,
  type JsonSchema,
  type Shape,
} from '../schema/index.ts';

/** Namespaces that the cluster needs to recover by itself. */
export const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease'] as const;

/** The API server's own limit of a request. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

const connection = shape.object(
  {
    address: shape.required(shape.parsed(grammar.httpOrigin, 'Address of Vault.')),
    namespace: shape.parsed(grammar.text('a Vault namespace'), 'Vault namespace.'),
    ...CA_FIELDS,
    tlsServerName: shape.parsed(grammar.text('a host name', 253), 'Name in the certificate.'),
    redirectHosts,
    proxy: vaultProxy,
  },
  'Connection to one Vault.',
  checkCaSources,
);

function globs(what: string): Shape<readonly string[]> {
  const glob = shape.parsed(grammar.text('a name, with `*` for any characters', 512), what);
  return shape.list(glob, 256, what);
}

function anyOr(what: string): Defaulted<readonly string[]> {
  return shape.withDefault(globs(`${what} Default: any.`), ['*']);
}

const policy = shape.object(
  {
    name: shape.required(shape.parsed(grammar.text('a name', 63), 'Name, shown in denials.')),
    namespaces: shape.required(globs('Namespaces that it applies to.')),
    serviceAccounts: anyOr('Service accounts that it applies to.'),
    connections: anyOr('Connections that may be used.'),
    roles: anyOr('Roles that may be used; a pod that sets no role requires `*`.'),
    authMounts: anyOr('Auth mounts that may be used.'),
    paths: anyOr(
      'Vault paths that may be requested; KV without `data/`. A leading `*` does not match paths of `auth/`, `sys/` and `identity/`.',
    ),
    operations: shape.withDefault(
      shape.list(
        shape.parsed(grammar.choice(OPERATIONS), 'one operation'),
        OPERATIONS.length,
        'What is allowed at the paths; a certificate request is a `write`. Default: all.',
      ),
      OPERATIONS,
    ),
    audiences: anyOr('Audiences of JWT-SVIDs in files.'),
  },
  'Who may use what. `*` stands for any characters, including slashes.',
);

/** Settings that exist at the level of a Namespace, by name without prefix. */
const NAMESPACE_SETTINGS = Object.keys(SETTINGS)
  .filter(isSettingName)
  .filter((name) => (SETTINGS[name].levels as readonly Level[]).includes('namespace'));

const NAMESPACE_DEFAULTS = NAMESPACE_SETTINGS.filter(
  (name) => !(AGENT_OVERRIDES as readonly string[]).includes(name),
);

const vault = shape.object(
  {
    default: shape.parsed(
      grammar.text('the name of a connection', 253),
      'Connection of pods that set none. Default: the only connection, or `default`.',
    ),
    allowPodAddress: shape.withDefault(
      shape.flag('Whether a pod may set an address of its own.'),
      false,
      false,
    ),
    namespaceAnnotations: shape.withDefault(
      shape.list(
        shape.parsed(grammar.choice(NAMESPACE_SETTINGS), 'an annotation without its prefix'),
        NAMESPACE_SETTINGS.length,
        `Annotations that a Namespace may set for its pods. Default: all except ${AGENT_OVERRIDES.join(', ')}.`,
      ),
      NAMESPACE_DEFAULTS,
    ),
    connections: shape.dictionary(connection, /^[a-z0-9][a-z0-9.-]*$/, 'Connections by name.'),
    policies: shape.withDefault(
      shape.list(policy, 1000, 'Who may use what. Without policies everything is allowed.'),
      [],
      [],
    ),
  },
  'The Vaults that pods may use.',
  ({ policies }, place) => {
    const names = policies.map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      const isTwice = name !== undefined && names.indexOf(name) < index;
      if (isTwice) place.at('policies').at(index).at('name').problem(`"${name}" is used twice`);
    }
  },
);

const DAY_MS = 86_400_000;

const issuerRef = shape.object(
  {
    name: shape.required(shape.parsed(grammar.text('a name', 253), 'Issuer.')),
    kind: shape.parsed(grammar.text('a kind', 63), 'Kind of the issuer.'),
    group: shape.parsed(grammar.text('an API group', 253), 'API group of the issuer.'),
  },
  'cert-manager issuer, if mode is certManager. Default: a self-signed issuer of the chart.',
);

const certificate = shape.object(
  {
    mode: shape.withDefault(
      shape.parsed(
        grammar.choice(['own', 'certManager', 'secret', 'spiffe']),
        "Where the webhook's serving certificate comes from: its own CA, cert-manager, an existing Secret, or its X.509-SVID.",
      ),
      'own',
      'own',
    ),
    validity: shape.withDefault(
      shape.parsed(
        grammar.duration(60_000),
        'Lifetime of a certificate of the own CA; the CA itself lives four times as long.',
      ),
      90 * DAY_MS,
      '90d',
    ),
    renewBefore: shape.parsed(
      grammar.duration(1000),
      'How long before its expiry it is replaced. Default: a third of its lifetime.',
    ),
    secretName: shape.parsed(
      grammar.text('the name of a Secret', 253),
      'Secret with `tls.crt`, `tls.key` and `ca.crt`, if mode is secret.',
    ),
    issuerRef,
    caBundle: shape.parsed(
      grammar.pem,
      'CA that the API server trusts, if mode is secret. Default: the `ca.crt` of the Secret.',
    ),
  },
  "The webhook's serving certificate.",
  ({ mode, validity, renewBefore, secretName, caBundle }, place) => {
    if (renewBefore !== undefined && renewBefore >= validity) {
      place.at('renewBefore').problem('must be shorter than validity');
    }
    if (mode === 'secret' && secretName === undefined) place.at('secretName').missing();
    if (mode !== 'secret' && caBundle !== undefined) {
      place.at('caBundle').problem('has no effect unless mode is secret');
    }
  },
);

const image = shape.object(
  {
    repository: shape.parsed(IMAGE_GRAMMAR.repository, 'Default: that of `image`.'),
    tag: shape.parsed(IMAGE_GRAMMAR.tag, 'Default: that of `image`.'),
    digest: shape.parsed(
      IMAGE_GRAMMAR.digest,
      'Default: that of `image`, if repository and tag are not set.',
    ),
    pullPolicy: shape.parsed(IMAGE_GRAMMAR.pullPolicy, 'Default: that of `image`.'),
  },
  'Image of the agent, if it differs from that of the webhook.',
);

/** What the published image is built for. */
const IMAGE_ARCHITECTURES = ['amd64', 'arm64'];

const agent = shape.object(
  {
    image: shape.nested(image),
    setUser: shape.withDefault(
      shape.flag(
        'Whether the agent gets a UID; false if the platform assigns UIDs itself, as OpenShift does.',
      ),
      true,
      true,
    ),
    allowImageOverride: shape.withDefault(
      shape.flag(
        'Whether pods may set `image`, `run-as-user` and `run-as-group`. Code that runs as the agent can read token and SVID.',
      ),
      false,
      false,
    ),
    maxRenderBytes: shape.withDefault(
      shape.parsed(
        grammar.renderBytes,
        'Memory that one rendering of a template may allocate for text and items in an agent.',
      ),
      DEFAULTS.AGENT_RENDER_BYTES,
      '32Mi',
    ),
    architectures: shape.withDefault(
      shape.list(
        shape.parsed(
          grammar.matching('an architecture such as `amd64`', /^[a-z0-9]{1,32}$/),
          'as in the label `kubernetes.io/arch`',
        ),
        16,
        'Architectures for which the image is built; pods for nodes of other ones are denied. Default: amd64 and arm64.',
      ),
      IMAGE_ARCHITECTURES,
    ),
  },
  'The agent that is added to pods.',
);

const spiffe = shape.object(
  {
    socket: shape.withDefault(
      shape.parsed(
        grammar.workloadSocket,
        'Workload API, as seen by the pod: a path, `unix:///path` or `tcp://IP:port`. A socket called `agent.sock` or `spire-agent.sock` is also found under the other of these names.',
      ),
      'unix:///run/spire/sockets/agent.sock',
      '/run/spire/sockets/agent.sock',
    ),
    volume: shape.withDefault(
      shape.parsed(
        grammar.choice(['csi', 'hostPath', 'none']),
        'What is mounted at its directory.',
      ),
      'csi',
      'csi',
    ),
    csiDriver: shape.withDefault(
      shape.parsed(grammar.text('the name of a CSI driver', 63), 'CSI driver.'),
      'csi.spiffe.io',
      'csi.spiffe.io',
    ),
    hostPath: shape.parsed(
      grammar.mountPath,
      'Directory on the node, if volume is hostPath. Default: that of the socket.',
    ),
  },
  'How pods reach the Workload API.',
  (value, place) => {
    if (value.socket.startsWith('tcp:') && value.volume !== 'none') {
      place.at('volume').problem('must be none: a tcp socket has no directory to mount');
    }
    if (value.hostPath !== undefined && value.volume !== 'hostPath') {
      place.at('hostPath').problem('has no effect unless volume is hostPath');
    }
  },
);

const webhook = shape.object(
  {
    excludedNamespaces: shape.withDefault(
      shape.list(
        shape.parsed(grammar.text('a namespace', 63), 'a namespace'),
        256,
        `Namespaces whose pods are never injected, in addition to ${SYSTEM_NAMESPACES.join(', ')}.`,
      ),
      [],
      [],
    ),
    maxBodyBytes: shape.withDefault(
      shape.whole(64 * 1024, 16 * 1024 * 1024, 'Maximum size of a request in bytes.'),
      MAX_BODY_BYTES,
      MAX_BODY_BYTES,
    ),
    clientCA: shape.parsed(
      grammar.pem,
      'CA in PEM of the client certificate of the API server, and of no other certificate; other callers get a 401.',
    ),
    ...CHART_WEBHOOK_FIELDS,
  },
  'The webhook.',
);

const env = shape.object(
  {
    enabled: shape.withDefault(
      shape.flag(
        'Whether pods may request secrets in environment variables (`env-<NAME>`); requires Kubernetes 1.35. The webhook then lists nodes, because older ones would start containers without their variables.',
      ),
      false,
      false,
    ),
  },
  'Secrets in environment variables.',
);

const events = shape.object(
  {
    enabled: shape.withDefault(
      shape.flag(
        'Whether owners of pods get events about injections and denials, with the reason.',
      ),
      true,
      true,
    ),
  },
  'Events of Kubernetes.',
);

/** Defaults are parsed by the grammar of their annotation, so that they fail here and not in a pod. */
const defaultsShape: Shape<Readonly<Record<string, string>>> = {
  schema: defaultsSchema(),
  read(value, place) {
    if (!isRecord(value)) {
      place.problem('must be an object');
      return undefined;
    }
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

/** Shape of the whole document. */
export const installationShape = shape.object(
  {
    annotationPrefix: shape.withDefault(
      shape.parsed(
        grammar.matching(
          'a DNS name such as `vouchsafe.dev`',
          /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
        ),
        'Prefix of the annotations, without the slash.',
      ),
      'vouchsafe.dev',
      'vouchsafe.dev',
    ),
    agent: shape.nested(agent),
    certificate: shape.nested(certificate),
    defaults: shape.withDefault(defaultsShape, {}),
    vault: shape.nested(vault),
    spiffe: shape.nested(spiffe),
    webhook: shape.nested(webhook),
    csi: shape.nested(csiShape),
    env: shape.nested(env),
    ...CHART_FIELDS,
    events: shape.nested(events),
  },
  'Values of the Vouchsafe chart.',
);

/** The chart's `values.schema.json`. Draft 7, because older releases of Helm know nothing newer. */
export const INSTALLATION_SCHEMA: JsonSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Values of the Vouchsafe chart',
  ...installationShape.schema,
};

/** The values after reading, with their defaults. */
export type InstallationValues = NonNullable<ReturnType<typeof installationShape.read>>;
/** One policy after reading. */
export type PolicyValues = NonNullable<ReturnType<typeof policy.read>>;
/** One connection after reading. */
export type ConnectionValues = NonNullable<ReturnType<typeof connection.read>>;

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
