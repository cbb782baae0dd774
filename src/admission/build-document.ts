/**
 * Settings -> the agent's configuration document, and what the agent needs access to.
 */
import {
  AGENT_API_VERSION,
  AGENT_KIND,
  type RawAgentConfig,
  type RawEnv,
  type RawFile,
  type RawX509Files,
} from '../config/agent/index.ts';
import {
  x509Files,
  type FileSettings,
  type ResolvedSettings,
  type Setting,
  type Settings,
} from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { DEFAULTS, type StartGateKind } from '../config/schema/index.ts';
import { formatDuration } from '../core/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import { loginDocuments, neededLogins, type NeededLogin } from './logins.ts';
import { DIRECTORY } from './names.ts';
import { mayHoldPrivateKey } from './user.ts';

/** What the agent needs besides its own volumes. */
export interface Needs {
  /** Whether it uses the Workload API. */
  readonly spiffe: boolean;
  /** The logins to Vault, each with its connection; empty if only SVIDs are delivered. */
  readonly logins: readonly NeededLogin[];
  /** The service-account token for the login; undefined if an SVID is used. */
  readonly token: { readonly audience: string | undefined } | undefined;
}

/**
 * Decides what is needed; reports a connection that does not exist or that the pod may not use. With `byToken`
 * the login uses a service-account token whatever the settings are.
 */
export function needsOf(
  resolved: ResolvedSettings,
  installation: Installation,
  diagnostics: Diagnostics,
  byToken = false,
): Needs {
  const { settings } = resolved;
  const logins = neededLogins(resolved, installation, diagnostics);
  const usesVault = logins.length > 0;
  const isByToken =
    byToken ||
    settings.identity.value === 'service-account' ||
    settings['auth-method'].value === 'kubernetes';
  return {
    spiffe: svidUsers(resolved).length > 0 || (usesVault && !isByToken),
    logins,
    token: usesVault && isByToken ? { audience: tokenAudience(settings) } : undefined,
  };
}

/** The annotations, without their prefix, that need an SVID even if the login does not. */
export function svidUsers({ settings, files, variables }: ResolvedSettings): readonly string[] {
  const chosen = (['spiffe-id', 'spiffe-hint'] as const).filter(
    (name) => settings[name].source === 'pod',
  );
  return [
    ...(settings['x509-svid'].value ? ['x509-svid'] : []),
    ...chosen,
    ...files.flatMap((file) => [
      ...(file['jwt-svid'] === undefined ? [] : [`jwt-svid-${file.name}`]),
      ...(needsSvid(file.template?.value) ? [`template-${file.name}`] : []),
    ]),
    ...variables.flatMap(({ name, 'env-template': template }) =>
      needsSvid(template?.value) ? [`env-template-${name}`] : [],
    ),
  ];
}

/** The reader of the document, and what the settings do not decide. */
export interface DocumentReader {
  readonly mode: 'native' | 'pair' | 'init' | 'csi';
  readonly fileMode: string;
  /** Mode of files with private keys that have none of their own; undefined for that of the others. */
  readonly keyMode?: string | undefined;
  /** Address of health, metrics and status; undefined for the CSI driver. */
  readonly listen: string | undefined;
  /** Address of the Workload API, or of its counterpart on the node. */
  readonly socket: string;
  /** What holds the application back; undefined where no agent runs beside it from the start. */
  readonly startGate?: StartGateKind | undefined;
  /** Termination grace period of the pod. */
  readonly graceSeconds: number;
  /** Memory that one rendering may allocate for text and items. */
  readonly maxRenderBytes: number;
  /** Containers that restart when their variables change. Default: none. */
  readonly restarted?: readonly string[];
}

/** Part of the grace period that the agent needs for the revocation: 5 s for Vault, and a margin for a busy node. */
const REVOCATION_SECONDS = 8;

/** The document for a pod. Settings that no level sets are left to the agent's own defaults. */
export function agentDocument(
  resolved: ResolvedSettings,
  needs: Needs,
  how: DocumentReader,
): RawAgentConfig {
  const { settings, files } = resolved;
  const { keyMode } = how;
  const x509 = settings['x509-svid'].value ? x509Of(resolved, keyMode) : undefined;
  const x509Names = x509Files(settings).map(({ name }): string => name);
  const others = files.filter((file) => !x509Names.includes(file.name));
  return {
    apiVersion: AGENT_API_VERSION,
    kind: AGENT_KIND,
    ...(needs.spiffe && { spiffe: spiffeOf(settings, how.socket) }),
    ...loginDocuments(needs.logins, settings, needs.token && `${DIRECTORY.token}/token`),
    ...optional('maxRenderBytes', otherThan(DEFAULTS.AGENT_RENDER_BYTES, how.maxRenderBytes)),
    output: { mode: settings['file-mode'].text ?? how.fileMode },
    ...optional('refresh', durationOf(settings.refresh)),
    ...(others.length > 0 && { files: others.map((file) => fileOf(file, needs.logins, keyMode)) }),
    ...(x509 !== undefined && { x509Svid: Object.keys(x509).length === 0 ? true : x509 }),
    ...optional('env', envOf(resolved, how)),
    ...(how.mode === 'csi' ? {} : reactions(settings)),
    // In mode init nothing runs after the init container; what it revoked, the application would lose.
    ...optional('revokeOnExit', how.mode === 'init' ? false : explicit(settings['revoke-on-exit'])),
    ...optional('revokeGrace', durationOf(settings['revoke-grace'])),
    ...(how.mode === 'pair' && { revokeDelay: revokeDelay(settings, how) }),
    ...(how.mode === 'csi' ? {} : agentParts(settings, how)),
  };
}

/** Application and sidecar of a pair get SIGTERM at the same time: how long the sidecar waits before it revokes. */
function revokeDelay(settings: Settings, { graceSeconds }: DocumentReader): string {
  const mostMs = Math.max(0, graceSeconds - REVOCATION_SECONDS) * 1000;
  return formatDuration(Math.min(settings['revoke-delay'].value ?? mostMs, mostMs));
}

/** What an agent in the pod does when files change, or when the first delivery is late. */
function reactions(settings: Settings): Partial<RawAgentConfig> {
  return {
    ...optional('onChange', actionTexts(settings['on-change'])),
    ...optional('onMissingVault', explicit(settings['on-missing-vault'])),
    ...optional('initDeadline', durationOf(settings['init-deadline'])),
  };
}

/** Settings that only an agent in the pod has. */
function agentParts(settings: Settings, how: DocumentReader): Partial<RawAgentConfig> {
  return {
    ...(how.mode !== 'init' && {
      stateDirectory: DIRECTORY.state,
      ...optional('listen', how.listen),
      ...optional('startGate', otherThan(DEFAULTS.AGENT_START_GATE, how.startGate)),
    }),
    terminationLog: '/dev/termination-log',
    ...optional('logLevel', explicit(settings['log-level'])),
  };
}

/** Where the agent sees a template of a ConfigMap. */
function templatePath(ref: { readonly name: string; readonly key: string }): string {
  return `${DIRECTORY.templates}/${ref.name}/${ref.key}`;
}

/** Templates in ConfigMaps are not visible here; such pods set `spiffe-id` or `spiffe-hint`. */
function needsSvid(template: string | undefined): boolean {
  return template !== undefined && /\b(jwtSvid|spiffeId)\b/.test(template);
}

/** Vault's Kubernetes method reviews tokens for the API server's own audience by default. */
function tokenAudience(settings: Settings): string | undefined {
  const isDefault = settings.audience.source === 'built in';
  if (settings['auth-method'].value === 'kubernetes' && isDefault) return undefined;
  return settings.audience.value;
}

function spiffeOf(settings: Settings, socket: string): NonNullable<RawAgentConfig['spiffe']> {
  return {
    socket,
    ...optional('spiffeId', settings['spiffe-id'].value),
    ...optional('hint', settings['spiffe-hint'].value),
  };
}

function fileOf(
  file: FileSettings,
  logins: readonly NeededLogin[],
  keyMode: string | undefined,
): RawFile {
  const from = file['template-from']?.value;
  const { refresh } = file;
  return {
    name: file.name,
    ...optional('path', file.file?.value),
    ...optional('mode', ownModeOf(file, mayHoldPrivateKey(file) ? keyMode : undefined)),
    ...secretOf(file),
    ...optional('login', logins.find(({ files }) => files.has(file.name))?.name),
    ...optional('format', file.format?.value),
    ...optional('template', file.template?.value),
    ...(from !== undefined && { templateFile: templatePath(from) }),
    ...optional('jwtSvid', file['jwt-svid']?.value),
    ...optional('refresh', refresh === undefined ? undefined : durationOf(refresh)),
    ...optional('onChange', actionTexts(file['on-change'])),
  };
}

function envOf(
  { settings, variables }: ResolvedSettings,
  { restarted = [] }: DocumentReader,
): RawEnv | undefined {
  if (variables.length === 0) return undefined;
  return {
    variables: variables.map(
      ({ name, env, 'env-template': template, 'env-optional': isOptional }) => ({
        name,
        ...optional('secret', env?.text),
        ...optional('template', template?.value),
        ...(isOptional?.value === true && { optional: true }),
      }),
    ),
    ...optional('onChange', explicit(settings['env-on-change'])),
    ...(restarted.length > 0 && { containers: restarted }),
  };
}

function secretOf(file: FileSettings): Pick<RawFile, 'secret' | 'optional'> {
  return {
    ...optional('secret', file.secret?.text),
    ...(file.optional?.value === true && { optional: true }),
  };
}

function ownModeOf(
  file: FileSettings | undefined,
  otherwise: string | undefined,
): string | undefined {
  return file?.['file-mode']?.text ?? otherwise;
}

function x509Of({ settings, files }: ResolvedSettings, keyMode: string | undefined): RawX509Files {
  const parts = x509Files(settings).map(({ name, part, hasKey }) => {
    const file = files.find((one) => one.name === name);
    return {
      ...optional(`${part}File`, file?.file?.value),
      ...optional(`${part}Mode`, ownModeOf(file, hasKey ? keyMode : undefined)),
      ...optional('onChange', actionTexts(file?.['on-change'])),
    };
  });
  const actions = new Set(parts.flatMap((one) => one.onChange ?? []));
  const named = Object.assign({}, ...parts) as RawX509Files; // each part has different fields of it
  return {
    ...formatOf(settings),
    ...named,
    ...(actions.size > 0 && { onChange: [...actions] }),
  };
}

function formatOf(settings: Settings): Pick<RawX509Files, 'format' | 'password'> {
  if (settings['x509-svid-format'].value === 'pem') return {};
  return { format: 'pkcs12', ...optional('password', explicit(settings['x509-svid-password'])) };
}

function actionTexts(setting: Setting<unknown> | undefined): readonly string[] | undefined {
  return setting?.text?.split(',').map((text) => text.trim());
}

function otherThan<T>(usual: T, value: T | undefined): T | undefined {
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
  return value === undefined ? {} : ({ [name]: value } as { readonly [Name in K]?: T }); // K is the only key
}
