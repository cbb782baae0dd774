/**
 * Settings -> the agent's configuration document and what it must be able to reach.
 */
import {
  AGENT_API_VERSION,
  AGENT_KIND,
  DEFAULTS,
  httpOrigin,
  type FileSettings,
  type Installation,
  type RawAgentConfig,
  type RawFile,
  type RawX509Files,
  type ResolvedSettings,
  type Setting,
  type Settings,
  type VaultConnection,
} from '../config/index.ts';
import { formatDuration, type Problem } from '../core/index.ts';
import { DIRECTORY } from './names.ts';

/** What the agent uses beyond its own volumes. */
export interface Needs {
  /** The Workload API is asked. */
  readonly spiffe: boolean;
  /** Vault is asked; undefined where only SVIDs are delivered. */
  readonly vault: VaultConnection | undefined;
  /** A service-account token logs in. */
  readonly token: { readonly audience: string | undefined } | undefined;
}

/** Where reasons against an injection are collected. */
export interface Reasons {
  readonly problems: Problem[];
  /** What the installation does not allow. */
  readonly forbidden: Problem[];
}

/**
 * Decides what is needed; reports a connection that is not there, or that the pod may not use. `byToken` holds
 * where nothing said otherwise: a service-account token logs in.
 */
export function needsOf(
  resolved: ResolvedSettings,
  installation: Installation,
  reasons: Reasons,
  byToken = false,
): Needs {
  const { settings, files } = resolved;
  const usesVault = files.some(
    (file) => file.secret !== undefined || templateOf(file) !== undefined,
  );
  const isByToken =
    byToken ||
    settings.identity.value === 'service-account' ||
    settings['auth-method'].value === 'kubernetes';
  return {
    spiffe: svidUsers(resolved).length > 0 || (usesVault && !isByToken),
    vault: usesVault ? connectionOf(settings, installation, reasons) : undefined,
    token: usesVault && isByToken ? { audience: tokenAudience(settings) } : undefined,
  };
}

/** The annotations, without their prefix, that call for an SVID whatever logs in. */
export function svidUsers({ settings, files }: ResolvedSettings): readonly string[] {
  const chosen = (['spiffe-id', 'spiffe-hint'] as const).filter(
    (name) => settings[name].source === 'pod',
  );
  return [
    ...(settings['x509-svid'].value ? ['x509-svid'] : []),
    ...chosen,
    ...files.flatMap((file) => [
      ...(file['jwt-svid'] === undefined ? [] : [`jwt-svid-${file.name}`]),
      ...(callsForSvid(file.template?.value) ? [`template-${file.name}`] : []),
    ]),
  ];
}

/** Who reads the document, and what is not for the settings to say. */
export interface DocumentReader {
  readonly mode: 'native' | 'pair' | 'init' | 'csi';
  readonly fileMode: string;
  /** Address of health, metrics and status; undefined where the reader is no agent in the pod. */
  readonly listen: string | undefined;
  /** Where SVIDs come from. */
  readonly socket: string;
  /** How long the kubelet waits for the pod's containers at its end. */
  readonly graceSeconds: number;
  /** What the installation lets one rendering make. */
  readonly maxRenderBytes: number;
}

/** Of a grace period, what the agent needs for the revocation: 5 s for Vault, and something for a busy node. */
const REVOCATION_SECONDS = 8;

/** The document for a pod. Settings that nobody gave are left to the agent's own defaults. */
export function agentDocument(
  resolved: ResolvedSettings,
  needs: Needs,
  how: DocumentReader,
): RawAgentConfig {
  const { settings, files } = resolved;
  const x509 = settings['x509-svid'].value ? x509Of(files) : undefined;
  const others = files.filter((file) => x509 === undefined || !X509_NAMES.includes(file.name));
  return {
    apiVersion: AGENT_API_VERSION,
    kind: AGENT_KIND,
    ...(needs.spiffe && { spiffe: spiffeOf(settings, how.socket) }),
    ...(needs.vault && { vault: vaultOf(needs.vault), auth: authOf(settings, needs) }),
    ...optional('maxRenderBytes', otherThan(DEFAULTS.AGENT_RENDER_BYTES, how.maxRenderBytes)),
    output: { mode: settings['file-mode'].text ?? how.fileMode },
    ...(others.length > 0 && { files: others.map((file) => fileOf(file, settings)) }),
    ...(x509 !== undefined && { x509Svid: Object.keys(x509).length === 0 ? true : x509 }),
    ...(how.mode === 'csi' ? {} : reactions(settings)),
    // Nobody goes on after the init container: what it revoked the application would lose.
    ...optional('revokeOnExit', how.mode === 'init' ? false : explicit(settings['revoke-on-exit'])),
    ...optional('revokeGrace', durationOf(settings['revoke-grace'])),
    ...(how.mode === 'pair' && { revokeDelay: revokeDelay(settings, how) }),
    ...(how.mode === 'csi' ? {} : agentParts(settings, how)),
  };
}

/** Application and sidecar of a pair are told to end together: until when the one needs what the other revokes. */
function revokeDelay(settings: Settings, { graceSeconds }: DocumentReader): string {
  const mostMs = Math.max(0, graceSeconds - REVOCATION_SECONDS) * 1000;
  return formatDuration(Math.min(settings['revoke-delay'].value ?? mostMs, mostMs));
}

/** What an agent in the pod does when files change, or do not come. */
function reactions(settings: Settings): Partial<RawAgentConfig> {
  return {
    ...optional('onChange', actionTexts(settings['on-change'])),
    ...optional('onMissingVault', explicit(settings['on-missing-vault'])),
    ...optional('initDeadline', durationOf(settings['init-deadline'])),
  };
}

/** What an agent in the pod has of its own. */
function agentParts(settings: Settings, how: DocumentReader): Partial<RawAgentConfig> {
  return {
    ...(how.mode !== 'init' && {
      stateDirectory: DIRECTORY.state,
      ...optional('listen', how.listen),
    }),
    terminationLog: '/dev/termination-log',
    ...optional('logLevel', explicit(settings['log-level'])),
  };
}

/** The name below the mount of a file. */
export function pathOf(file: FileSettings): string {
  return file.file?.value ?? file.name;
}

/** Where the agent sees a template of a ConfigMap. */
export function templatePath(ref: { readonly name: string; readonly key: string }): string {
  return `${DIRECTORY.templates}/${ref.name}/${ref.key}`;
}

const X509_NAMES: readonly string[] = DEFAULTS.X509_FILES.map(({ name }) => name);

function templateOf(file: FileSettings): unknown {
  return file.template ?? file['template-from'];
}

/** Templates in ConfigMaps are not seen here: name the SVID with `spiffe-id` or `spiffe-hint` then. */
function callsForSvid(template: string | undefined): boolean {
  return template !== undefined && /\b(jwtSvid|spiffeId)\b/.test(template);
}

/** Vault's Kubernetes method reviews tokens for the API server's own audience unless told otherwise. */
function tokenAudience(settings: Settings): string | undefined {
  const isDefault = settings.audience.source === 'built in';
  if (settings['auth-method'].value === 'kubernetes' && isDefault) return undefined;
  return settings.audience.value;
}

function connectionOf(
  settings: Settings,
  installation: Installation,
  { problems, forbidden }: Reasons,
): VaultConnection | undefined {
  const { connections, allowPodAddress, default: fallback } = installation.vault;
  const chosen = settings.vault.value ?? fallback;
  if (Object.hasOwn(connections, chosen)) return connections[chosen];
  const path = `${installation.annotationPrefix}/vault`;
  if (!/^https?:/.test(chosen)) {
    const names = Object.keys(connections).join(', ');
    problems.push({
      path,
      message: `there is no connection "${chosen}"`,
      help: `choose one of ${names}`,
    });
    return undefined;
  }
  const address = httpOrigin.parse(chosen);
  if ('problem' in address) {
    problems.push({ path, message: address.problem });
    return undefined;
  }
  if (!allowPodAddress) {
    const names = Object.keys(connections).join(', ');
    const message = 'the installation does not let a pod give an address: name a connection';
    forbidden.push({ path, message, help: `one of ${names}` });
    return undefined;
  }
  return {
    address: address.value,
    namespace: undefined,
    caPem: undefined,
    caConfigMap: undefined,
    tlsServerName: undefined,
    redirectHosts: [],
  };
}

function spiffeOf(settings: Settings, socket: string): NonNullable<RawAgentConfig['spiffe']> {
  return {
    socket,
    ...optional('spiffeId', settings['spiffe-id'].value),
    ...optional('hint', settings['spiffe-hint'].value),
  };
}

function vaultOf(connection: VaultConnection): NonNullable<RawAgentConfig['vault']> {
  const { address, namespace, caPem, caConfigMap, tlsServerName, redirectHosts } = connection;
  return {
    address,
    ...optional('namespace', namespace),
    ...optional('caPem', caPem),
    ...(caConfigMap !== undefined && { caFile: `${DIRECTORY.ca}/${caConfigMap.key}` }),
    ...optional('tlsServerName', tlsServerName),
    ...(redirectHosts.length > 0 && { redirectHosts }),
  };
}

function authOf(settings: Settings, needs: Needs): NonNullable<RawAgentConfig['auth']> {
  return {
    method: settings['auth-method'].value,
    ...optional('mount', settings['auth-mount'].value),
    ...optional('role', settings.role.value),
    audience: settings.audience.value,
    ...(needs.token !== undefined && { tokenFile: `${DIRECTORY.token}/token` }),
  };
}

function fileOf(file: FileSettings, settings: Settings): RawFile {
  const from = file['template-from']?.value;
  const isSvid = file['jwt-svid'] !== undefined;
  const refresh = file.refresh ?? (isSvid ? undefined : settings.refresh);
  return {
    name: file.name,
    ...optional('path', file.file?.value),
    ...optional('mode', file['file-mode']?.text),
    ...optional('secret', file.secret?.text),
    ...optional('format', file.format?.value),
    ...optional('template', file.template?.value),
    ...(from !== undefined && { templateFile: templatePath(from) }),
    ...optional('jwtSvid', file['jwt-svid']?.value),
    ...optional('refresh', refresh === undefined ? undefined : durationOf(refresh)),
    ...optional('onChange', actionTexts(file['on-change'])),
  };
}

function x509Of(files: readonly FileSettings[]): RawX509Files {
  const parts = DEFAULTS.X509_FILES.map(({ name, part }) => {
    const file = files.find((one) => one.name === name);
    return {
      ...optional(`${part}File`, file?.file?.value),
      ...optional(`${part}Mode`, file?.['file-mode']?.text),
      ...optional('onChange', actionTexts(file?.['on-change'])),
    };
  });
  const actions = new Set(parts.flatMap((one) => one.onChange ?? []));
  const named = Object.assign({}, ...parts) as RawX509Files; // the parts name its fields, each its own
  return { ...named, ...(actions.size > 0 && { onChange: [...actions] }) };
}

function actionTexts(setting: Setting<unknown> | undefined): readonly string[] | undefined {
  return setting?.text?.split(',').map((text) => text.trim());
}

function otherThan<T>(usual: T, value: T): T | undefined {
  return value === usual ? undefined : value;
}

function explicit<T>(setting: Setting<T>): T | undefined {
  return setting.source === 'built in' ? undefined : setting.value;
}

function durationOf(setting: Setting<number>): string | undefined {
  const ms = explicit(setting);
  return ms === undefined ? undefined : formatDuration(ms);
}

function optional<const K extends string, T>(
  name: K,
  value: T | undefined,
): { readonly [Name in K]?: T } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [Name in K]?: T }); // K is the one name
}
