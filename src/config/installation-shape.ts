/**
 * Shape of the Helm values.
 */
import { OPERATIONS } from '../core/index.ts';
import {
  AGENT_OVERRIDES,
  isSettingName,
  SETTINGS,
  type Annotation,
  type Level,
} from './annotations.ts';
import { redirectHosts } from './agent-document.ts';
import { CHART_FIELDS, CHART_WEBHOOK_FIELDS, IMAGE_GRAMMAR } from './chart-shape.ts';
import { csiShape } from './csi-shape.ts';
import { AGENT_RENDER_BYTES } from './defaults.ts';
import * as grammar from './grammar.ts';
import type { JsonSchema } from './json-schema.ts';
import * as shape from './shape.ts';

/** Namespaces without which the cluster cannot heal itself. */
export const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease'] as const;

/** The API server's own limit of one request. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

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
    redirectHosts,
  },
  'One Vault.',
  (value, place) => {
    if (value.caPem !== undefined && value.caConfigMap !== undefined) {
      place.at('caPem').problem('contradicts caConfigMap: give one of the two');
    }
  },
);

function globs(what: string): shape.Shape<readonly string[]> {
  const glob = shape.parsed(grammar.text('a name, with `*` for any characters', 512), what);
  return shape.list(glob, 256, what);
}

function anyOr(what: string): shape.Defaulted<readonly string[]> {
  return shape.withDefault(globs(`${what} Any by default.`), ['*']);
}

const policy = shape.object(
  {
    name: shape.required(shape.parsed(grammar.text('a name', 63), 'Name, which refusals tell.')),
    namespaces: shape.required(globs('Namespaces that it is for.')),
    serviceAccounts: anyOr('Service accounts that it is for.'),
    connections: anyOr('Connections that may be used.'),
    roles: anyOr('Roles that may be used; a pod without a role needs `*`.'),
    authMounts: anyOr('Auth mounts that may be used.'),
    paths: anyOr(
      'Vault paths that may be asked for; KV without `data/`. Paths of `auth/`, `sys/` and `identity/` must be written out: no leading `*` stands for them.',
    ),
    operations: shape.withDefault(
      shape.list(
        shape.parsed(grammar.choice(OPERATIONS), 'one operation'),
        OPERATIONS.length,
        'What may be done at the paths; a certificate request is a `write`. All by default.',
      ),
      OPERATIONS,
    ),
    audiences: anyOr('Audiences of JWT-SVIDs that files may hold.'),
  },
  'Who may use what. `*` stands for any characters, slashes too.',
);

/** What a Namespace may say, by name without prefix. */
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
      'Connection of pods that name none; the only one, or `default`.',
    ),
    allowPodAddress: shape.withDefault(
      shape.flag('Whether a pod may give an address of its own.'),
      false,
      false,
    ),
    namespaceAnnotations: shape.withDefault(
      shape.list(
        shape.parsed(grammar.choice(NAMESPACE_SETTINGS), 'an annotation without its prefix'),
        NAMESPACE_SETTINGS.length,
        `What a Namespace may set for its pods. Default: all but ${AGENT_OVERRIDES.join(', ')}.`,
      ),
      NAMESPACE_DEFAULTS,
    ),
    connections: shape.dictionary(connection, /^[a-z0-9][a-z0-9.-]*$/, 'Connections by name.'),
    policies: shape.withDefault(
      shape.list(policy, 1000, 'Who may use what; without any everything is allowed.'),
      [],
      [],
    ),
  },
  'The Vaults that pods may use.',
  ({ policies }, place) => {
    const names = policies.map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      const isTwice = name !== undefined && names.indexOf(name) < index;
      if (isTwice) place.at('policies').at(index).at('name').problem(`"${name}" is taken already`);
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
  'Issuer of cert-manager, where mode is certManager; an own self-signed one where it is missing.',
);

const certificate = shape.object(
  {
    mode: shape.withDefault(
      shape.parsed(
        grammar.choice(['own', 'certManager', 'secret', 'spiffe']),
        "Where the webhook's serving certificate comes from: its own authority, cert-manager, a given Secret, or its own X.509-SVID.",
      ),
      'own',
      'own',
    ),
    validity: shape.withDefault(
      shape.parsed(
        grammar.duration(60_000),
        'How long a certificate of the own authority lives; the authority lives four times as long.',
      ),
      90 * DAY_MS,
      '90d',
    ),
    renewBefore: shape.parsed(
      grammar.duration(1000),
      'How long before its end it is replaced; a third of its life by default.',
    ),
    secretName: shape.parsed(
      grammar.text('the name of a Secret', 253),
      'Secret with `tls.crt`, `tls.key` and `ca.crt`, where mode is secret.',
    ),
    issuerRef,
    caBundle: shape.parsed(
      grammar.pem,
      'What the API server trusts, where mode is secret; else the `ca.crt` of the Secret is written there.',
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
    repository: shape.parsed(IMAGE_GRAMMAR.repository, 'That of `image` by default.'),
    tag: shape.parsed(IMAGE_GRAMMAR.tag, 'That of `image` by default.'),
    digest: shape.parsed(
      IMAGE_GRAMMAR.digest,
      'That of `image` by default, where repository and tag are as well.',
    ),
    pullPolicy: shape.parsed(IMAGE_GRAMMAR.pullPolicy, 'That of `image` by default.'),
  },
  'Image of the agent, where it is not that of the webhook.',
);

const agent = shape.object(
  {
    image: shape.nested(image),
    setUser: shape.withDefault(
      shape.flag('False where the platform assigns UIDs itself, as OpenShift does.'),
      true,
      true,
    ),
    allowImageOverride: shape.withDefault(
      shape.flag(
        'Whether pods may set `image`, `run-as-user` and `run-as-group`: what runs as the agent holds token and SVID.',
      ),
      false,
      false,
    ),
    maxRenderBytes: shape.withDefault(
      shape.parsed(
        grammar.renderBytes,
        'Most that all texts and items made by one rendering of a template take, in an agent.',
      ),
      AGENT_RENDER_BYTES,
      '32Mi',
    ),
  },
  'The container that pods get.',
);

const spiffe = shape.object(
  {
    socket: shape.withDefault(
      shape.parsed(
        grammar.workloadSocket,
        'Workload API as the pod sees it: a path, `unix:///path` or `tcp://IP:port`.',
      ),
      'unix:///run/spire/sockets/agent.sock',
      '/run/spire/sockets/agent.sock',
    ),
    volume: shape.withDefault(
      shape.parsed(grammar.choice(['csi', 'hostPath', 'none']), 'What is mounted there.'),
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
      'Directory of the node; that of the socket by default.',
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
        `Namespaces that are never touched, besides ${SYSTEM_NAMESPACES.join(', ')}.`,
      ),
      [],
      [],
    ),
    maxBodyBytes: shape.withDefault(
      shape.whole(64 * 1024, 16 * 1024 * 1024, 'Limit of one request in bytes.'),
      MAX_BODY_BYTES,
      MAX_BODY_BYTES,
    ),
    clientCA: shape.parsed(
      grammar.pem,
      'CA in PEM that signs nothing but the client certificate of the API server; reviews of other callers are answered 401.',
    ),
    ...CHART_WEBHOOK_FIELDS,
  },
  'The webhook.',
);

const events = shape.object(
  {
    enabled: shape.withDefault(
      shape.flag('Whether the owners of pods get events: injected, denied, and why.'),
      true,
      true,
    ),
  },
  'Events of Kubernetes.',
);

/** A default is read by the grammar of its annotation, so that it fails here and not in some pod. */
const defaultsShape: shape.Shape<Readonly<Record<string, string>>> = {
  schema: defaultsSchema(),
  read(value, place) {
    if (!shape.isRecord(value)) {
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
