/**
 * The one table of annotations: parsing, warnings, `explain` and the list in docs/use/annotations.md all come from it.
 * Names are without the prefix (`vouchsafe.dev/`).
 */
import { LOG_LEVELS } from '../../core/index.ts';
import {
  AUTH_METHODS,
  AUTH_SVIDS,
  DEFAULTS as defaults,
  ENV_ON_CHANGE,
  FORMATS,
  cloudIds,
  grammar,
  START_GATES,
  X509_FORMATS,
  type Grammar,
} from '../schema/index.ts';

/** Where a setting may be set: on the pod, as a default on its Namespace, as a default of the installation. */
const LEVELS = ['pod', 'namespace', 'installation'] as const;
/** One of {@link LEVELS}. */
export type Level = (typeof LEVELS)[number];

/** One row of the table. `T` is the type of a parsed text, `D` that of the built-in default. */
export interface Annotation<T, D = unknown> {
  readonly grammar: Grammar<T>;
  readonly builtIn: D;
  /** The built-in default in words; empty for none. */
  readonly default: string;
  /** One line of documentation. */
  readonly description: string;
  readonly levels: readonly Level[];
}

/** How the pod authenticates: by SVID, or by a service-account token. */
const IDENTITIES = ['spiffe', 'service-account'] as const;
/** How the files get into the pod. */
const MODES = ['native', 'pair', 'init', 'csi'] as const;

const connectionName = grammar.text(
  'the name of a connection, or an address if the installation allows it',
);
const roleName = grammar.text('a role of the auth mount', 512);
const CONTAINER_ID = grammar.wholeNumber(1, 2_147_483_647);

/** Settings of the pod as a whole. Each can have a default per namespace and installation, except `inject`. */
export const SETTINGS = {
  inject: {
    ...row(grammar.boolean, false, '`false`', 'Whether the pod is injected.'),
    levels: ['pod', 'namespace'],
  },
  mode: optional(
    grammar.choice(MODES),
    'How the files get into the pod: by a `native` sidecar, a `pair` of init container and sidecar, only an `init` container, or the `csi` driver of the node.',
    '`native`; `pair` before Kubernetes 1.29',
  ),
  identity: optional(
    grammar.choice(IDENTITIES),
    'What logs in: an SVID from the Workload API, or a service-account token of the pod.',
    '`spiffe`; `service-account` with `auth-method: kubernetes`, and if the CSI driver supports no other',
  ),
  vault: optional(
    connectionName,
    'Connection to Vault: one of the installation.',
    'the default connection of the installation',
  ),
  role: optional(roleName, 'Vault role to log in as.', 'the default role of the mount'),
  'auth-method': row(
    grammar.choice(AUTH_METHODS),
    defaults.AUTH_METHOD,
    `\`${defaults.AUTH_METHOD}\``,
    'Vault auth method.',
  ),
  'auth-mount': optional(grammar.authMount, 'Mount of the auth method.', 'the name of the method'),
  'auth-svid': row(
    grammar.choice(AUTH_SVIDS),
    AUTH_SVIDS[0],
    `\`${AUTH_SVIDS[0]}\``,
    'SVID that logs in with `auth-method: spiffe`: the JWT-SVID, or the X.509-SVID as the client certificate.',
  ),
  audience: row(
    grammar.text('an audience'),
    defaults.AUDIENCE,
    `\`${defaults.AUDIENCE}\``,
    'Audience of the JWT-SVID or service-account token that logs in.',
  ),
  'spiffe-id': optional(grammar.spiffeId, 'Which SVID to use if the workload has several.'),
  'spiffe-hint': optional(
    grammar.text('the hint of a registration entry'),
    'Which SVID to use, by the hint of its registration entry.',
  ),
  'x509-svid': row(
    grammar.boolean,
    false,
    '`false`',
    'Write `svid.pem`, `svid_key.pem`, `bundle.pem`, and `bundle-<trust domain>.pem` for each federated trust domain, and keep them fresh; the logical names of the first three are `svid`, `svid_key` and `bundle`.',
  ),
  'x509-svid-format': row(
    grammar.choice(X509_FORMATS),
    X509_FORMATS[0],
    `\`${X509_FORMATS[0]}\``,
    'Format of these files. With `pkcs12`, for Java: `svid.p12` with key and certificate chain, `bundle.p12`, and `bundle-<trust domain>.p12`.',
  ),
  'x509-svid-password': row(
    grammar.text('a password', 256),
    defaults.KEYSTORE_PASSWORD,
    `\`${defaults.KEYSTORE_PASSWORD}\``,
    'Password of the PKCS#12 files. It is not a secret: access to the files is what protects the key.',
  ),
  refresh: row(
    grammar.duration(1000),
    defaults.REFRESH_MS,
    '`5m`',
    'How often secrets without a lease are read again; a write is repeated only at a `refresh-<name>`.',
  ),
  'file-mode': optional(
    grammar.fileMode,
    'Permission bits of the files.',
    '`0440` if agent and application share fsGroup or UID, else `0444`; private keys `0400` if all share the UID',
  ),
  'on-change': optional(grammar.notifyActions, 'What to do, once, when any file changes.'),
  'env-on-change': optional(
    grammar.choice(ENV_ON_CHANGE),
    'Whether containers with variables restart when a variable changes: a container keeps the values that it started with.',
    '`restart` for values that end, such as one with a lease, where the agent can restart the containers; else `none`',
  ),
  containers: optional(
    grammar.containerNames,
    'Containers that see the files and get the variables.',
    'all app containers except those that platforms add, such as proxies of meshes',
  ),
  'init-containers': optional(
    grammar.initContainerNames,
    'Init containers that see the files and get the variables; `all` means those after the agent, and with `csi` every one, except those that platforms add.',
    'none',
  ),
  'init-first': row(
    grammar.boolean,
    false,
    '`false`',
    'Start the agent before every other init container, also before those of a service mesh: its first requests to Vault go past the mesh.',
  ),
  'mount-path': row(
    grammar.mountPath,
    defaults.OUTPUT_DIRECTORY,
    `\`${defaults.OUTPUT_DIRECTORY}\``,
    'Where the containers see the files, read-only.',
  ),
  'volume-size': row(
    grammar.quantity,
    '16Mi',
    '`16Mi`',
    'Size limit of the in-memory volume of the files.',
  ),
  'on-missing-vault': row(
    grammar.choice(['fail', 'wait']),
    defaults.ON_MISSING_VAULT,
    `\`${defaults.ON_MISSING_VAULT}\``,
    'What happens when the start of a pod exceeds `init-deadline`.',
  ),
  'init-deadline': row(
    grammar.duration(1000),
    defaults.INIT_DEADLINE_MS,
    '`2m`',
    'How long the start of a pod may wait for its files.',
  ),
  'start-gate': optional(
    grammar.choice(START_GATES),
    'With `native`: what holds the other containers back until every file is written. A `hook` starts pods faster, but with SPIRE it requires a setting there; a `probe` lets an agent wait without restarts.',
    '`hook`; `probe` where the agent gets SVIDs, with `on-missing-vault: wait`, with an `init-deadline` over `2m`, and before Kubernetes 1.34',
  ),
  'revoke-on-exit': row(
    grammar.boolean,
    defaults.REVOKE_ON_EXIT,
    '`true`',
    'Revoke token and leases when the pod ends.',
  ),
  'revoke-grace': row(
    grammar.duration(),
    defaults.REVOKE_GRACE_MS,
    '`10s`',
    'How long a replaced credential stays valid after the application was notified.',
  ),
  'revoke-delay': optional(
    grammar.duration(),
    'With `pair`: how long the application may use its leased credentials after the pod is asked to terminate, at most until 8 s before the end of the grace period.',
    'the maximum',
  ),
  cpu: row(
    grammar.quantityRange,
    { request: '10m' },
    '`10m`; in a Guaranteed pod `100m/100m`; nothing where the resources of the pod have it',
    'CPU of the agent: request, or request/limit.',
  ),
  memory: row(
    grammar.quantityRange,
    { request: '48Mi', limit: '128Mi' },
    '`48Mi/128Mi`, with a larger limit for a larger `volume-size`; in a Guaranteed pod both are the limit; nothing where the resources of the pod have it',
    'Memory of the agent: one value for request and limit, or request/limit.',
  ),
  'ephemeral-storage': optional(
    grammar.quantityRange,
    'Disk of the agent, on which only its log is: one value for request and limit, or request/limit.',
  ),
  'log-level': row(
    grammar.choice(LOG_LEVELS),
    defaults.LOG_LEVEL,
    '`info`',
    'Log level of the agent.',
  ),
  'run-as-user': optional(
    CONTAINER_ID,
    'UID of the agent.',
    'one that no container uses if the fsGroup can read every file, else the common UID of the pod or its containers, else `65532`',
  ),
  'run-as-group': optional(
    CONTAINER_ID,
    'GID of the agent.',
    'the GID of the pod, else that of the UID in the image',
  ),
  image: optional(grammar.imageReference, 'Image of the agent.', 'the image of the installation'),
  port: row(
    grammar.wholeNumber(1024, 65_535),
    9102,
    '`9102`',
    'Port of the agent for health, metrics and status.',
  ),
  'azure-client-id': optional(
    cloudIds.azureId,
    'Client ID of the Entra ID application. With a `jwt-svid-<name>` for `api://AzureADTokenExchange` the containers get the `AZURE_…` variables.',
  ),
  'azure-tenant-id': optional(cloudIds.azureId, 'Tenant of the Entra ID application.'),
  'azure-authority-host': row(
    grammar.httpOrigin,
    'https://login.microsoftonline.com',
    '`https://login.microsoftonline.com/`',
    'Authority of Entra ID.',
  ),
  'aws-role-arn': optional(
    cloudIds.awsRoleArn,
    'Role of AWS IAM to assume. With a `jwt-svid-<name>` for the audience of `aws-audience` the containers get the `AWS_…` variables.',
  ),
  'aws-region': optional(
    cloudIds.awsRegion,
    'Region of AWS, whose STS exchanges the token: `AWS_REGION` and `AWS_DEFAULT_REGION`.',
    'that of the application',
  ),
  'aws-role-session-name': optional(
    cloudIds.awsSessionName,
    'Name of the sessions in AWS, for its logs.',
    'that of the SDK',
  ),
  'aws-audience': row(
    grammar.text('an audience'),
    'sts.amazonaws.com',
    '`sts.amazonaws.com`',
    'Audience that the identity provider in AWS IAM lists.',
  ),
  'gcp-workload-identity-provider': optional(
    cloudIds.gcpProvider,
    'Provider of a workload identity pool of Google Cloud. With a `jwt-svid-<name>` for its audience, `gcp-credentials.json` is written, and the containers get `GOOGLE_APPLICATION_CREDENTIALS`; the logical name of the file is `gcp-credentials`.',
  ),
  'gcp-service-account': optional(
    cloudIds.gcpServiceAccount,
    'Service account of Google Cloud to impersonate.',
    'none: the workload has access by its own principal',
  ),
  'gcp-audience': optional(
    grammar.text('an audience'),
    'Audience of the token, if the provider lists other ones than its own.',
    '`//iam.googleapis.com/` and the provider, with or without `https:`',
  ),
} as const satisfies Record<string, Annotation<unknown>>;

/** Settings of one file: `secret-<name>`. Only on the pod. */
export const FILE_SETTINGS = {
  secret: perFile(
    grammar.secretRef,
    'Vault path to read for this file; the version of KV is detected.',
  ),
  optional: perFile(
    grammar.boolean,
    'Whether the secret may be absent: never written, deleted, or without the `#key`. There is no file while it is.',
    '`false`',
  ),
  vault: perFile(
    connectionName,
    'Connection to Vault for this file; files with the same connection and role share one login.',
    'see `vault`',
  ),
  role: perFile(roleName, 'Vault role to log in as for this file.', 'see `role`'),
  template: perFile(
    grammar.longText('Handlebars text', 256 * 1024),
    'Inline template of the file.',
  ),
  'template-from': perFile(grammar.configMapRef, 'Template in a ConfigMap of the namespace.'),
  format: perFile(
    grammar.choice(FORMATS),
    'A built-in template, instead of one of your own.',
    '`json`; `raw` with `#key`',
  ),
  file: perFile(grammar.outputPath, 'Path below the mount.', '`<name>`'),
  'file-mode': perFile(grammar.fileMode, 'Permission bits of the file.', 'see `file-mode`'),
  refresh: perFile(
    grammar.duration(1000),
    'How often the secret is read again if it has no lease, and writes are repeated; spread by up to 10 %.',
    'see `refresh`',
  ),
  'on-change': perFile(grammar.notifyActions, 'What to do when this file changes.'),
  'jwt-svid': perFile(
    grammar.audiences,
    'Write a JWT-SVID for these audiences and keep it fresh, for cloud federation.',
  ),
} as const satisfies Record<string, Annotation<unknown>>;

/** Annotations that only the webhook sets. */
export const RESERVED_ANNOTATIONS = {
  status: '`injected` on a pod that has been injected.',
  injected: 'What was added to the pod besides named containers and volumes.',
} as const;

/** Settings of one environment variable: `env-<NAME>`. Only on the pod. */
export const VARIABLE_SETTINGS = {
  env: perFile(
    grammar.secretKeyRef,
    'A value of a secret in the variable of that name of the chosen containers. Requires Kubernetes 1.35 and `env.enabled`.',
  ),
  'env-template': perFile(
    grammar.longText('Handlebars text', 256 * 1024),
    'Inline template of the variable.',
  ),
  'env-optional': perFile(
    grammar.boolean,
    'Whether the secret of the variable, or its key, may be absent. There is no such variable while it is.',
    '`false`',
  ),
} as const satisfies Record<string, Annotation<unknown>>;

/** Name of a setting of the pod. */
export type SettingName = keyof typeof SETTINGS;

/** Settings that decide what code runs beside the application, and as which user. */
export const AGENT_OVERRIDES = [
  'image',
  'run-as-user',
  'run-as-group',
] as const satisfies readonly SettingName[];
/** Name of a setting of a file, without `-<name>`. */
type FileSettingName = keyof typeof FILE_SETTINGS;
/** Name of a setting of a variable, without `-<NAME>`. */
type VariableSettingName = keyof typeof VARIABLE_SETTINGS;
/** The type of a parsed text of this row. */
type TextValue<A> = A extends Annotation<infer T> ? T : never;
/** The type of a value of this row: a parsed text, or the built-in default. */
type SettingValue<A> = A extends Annotation<infer T, infer D> ? T | D : never;

/** The level that a setting's value comes from. */
type Source = Level | 'built in';

/** A value and where it comes from. */
export interface Setting<T> {
  readonly value: T;
  readonly source: Source;
  /** As it was written; undefined for a built-in default. */
  readonly text: string | undefined;
}

/** Every setting of the pod, by annotation name. */
export type Settings = {
  readonly [Name in SettingName]: Setting<SettingValue<(typeof SETTINGS)[Name]>>;
};

/** The settings of one file that the pod sets, by annotation name without `-<name>`. */
export type FileSettings = {
  readonly [Name in FileSettingName]?: Setting<TextValue<(typeof FILE_SETTINGS)[Name]>>;
} & { readonly name: string };

/** The settings of one variable that the pod sets, by annotation name without `-<NAME>`. */
export type VariableSettings = {
  readonly [Name in VariableSettingName]?: Setting<TextValue<(typeof VARIABLE_SETTINGS)[Name]>>;
} & { readonly name: string };

/** One documented annotation. */
export interface AnnotationRow {
  /** `role`, or `secret-<name>`. */
  readonly name: string;
  /** The accepted texts, in words. */
  readonly values: string;
  readonly default: string;
  readonly description: string;
  readonly levels: readonly Level[];
}

/** Every annotation, for documentation and for suggestions when one is misspelt. */
export const ANNOTATIONS: readonly AnnotationRow[] = [
  ...Object.entries(SETTINGS).map(([name, spec]) => documented(name, spec)),
  ...Object.entries(FILE_SETTINGS).map(([name, spec]) => documented(`${name}-<name>`, spec)),
  ...Object.entries(VARIABLE_SETTINGS).map(([name, spec]) => documented(`${name}-<NAME>`, spec)),
];

/** What an annotation name (without the prefix) stands for. */
export type Classified =
  | { readonly kind: 'setting'; readonly setting: SettingName }
  | { readonly kind: 'file'; readonly setting: FileSettingName; readonly file: string }
  | { readonly kind: 'variable'; readonly setting: VariableSettingName; readonly variable: string }
  | { readonly kind: 'reserved' }
  | { readonly kind: 'unknown' };

/** Classifies a name. The longest prefix takes precedence: `template-from-x` is not a `template-`. */
export function classify(name: string): Classified {
  if (isSettingName(name)) return { kind: 'setting', setting: name };
  if (Object.hasOwn(RESERVED_ANNOTATIONS, name)) return { kind: 'reserved' };
  for (const setting of FILE_PREFIXES) {
    const file = name.slice(setting.length + 1);
    if (name.startsWith(`${setting}-`) && file !== '') return { kind: 'file', setting, file };
  }
  for (const setting of VARIABLE_PREFIXES) {
    const variable = name.slice(setting.length + 1);
    if (name.startsWith(`${setting}-`) && variable !== '')
      return { kind: 'variable', setting, variable };
  }
  return { kind: 'unknown' };
}

/** True for the name of a setting of the pod. */
export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

// The casts hold: these are the keys of the constants.
const FILE_PREFIXES = longestFirst(Object.keys(FILE_SETTINGS) as FileSettingName[]);
const VARIABLE_PREFIXES = longestFirst(Object.keys(VARIABLE_SETTINGS) as VariableSettingName[]);

function longestFirst<T extends string>(names: readonly T[]): readonly T[] {
  return [...names].sort((a, b) => b.length - a.length);
}

function row<T>(
  grammarOf: Grammar<T>,
  builtIn: T,
  inWords: string,
  description: string,
): Annotation<T, T> {
  return { grammar: grammarOf, builtIn, default: inWords, description, levels: LEVELS };
}

function optional<T>(
  grammarOf: Grammar<T>,
  description: string,
  inWords = '',
): Annotation<T, undefined> {
  return { grammar: grammarOf, builtIn: undefined, default: inWords, description, levels: LEVELS };
}

function perFile<T>(
  grammarOf: Grammar<T>,
  description: string,
  inWords = '',
): Annotation<T, undefined> {
  return { ...optional(grammarOf, description, inWords), levels: ['pod'] };
}

function documented(name: string, spec: Annotation<unknown>): AnnotationRow {
  const { description, levels } = spec;
  return { name, values: spec.grammar.values, default: spec.default, description, levels };
}
