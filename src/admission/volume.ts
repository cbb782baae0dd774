/**
 * Attributes of a CSI volume -> the configuration of the volume in the driver, or every reason against it. Pure: the
 * driver plans volumes when they are published, and admission when a pod requests `mode: csi`.
 */
import { parseAgentConfig, type AgentConfig, type RawAgentConfig } from '../config/agent/index.ts';
import {
  gcpCredentialFile,
  NO_MOUNT_PATH,
  NOT_IN_VOLUME,
  resolveSettings,
  type Annotations,
  type ResolvedSettings,
} from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { DEFAULTS } from '../config/schema/index.ts';
import { dependencyKey, formatDuration, parseQuantity } from '../core/index.ts';
import type { CheckTemplate, VolumePlan, VolumeRefusal } from '../contracts/index.ts';
import { Diagnostics } from './diagnostics.ts';
import { checkContents, type LiteralDependencies } from './file-checks.ts';
import { agentDocument, needsOf, svidUsers, type Needs } from './build-document.ts';
import { levelProblems } from './levels.ts';
import { decideByPolicies } from './policy.ts';

/** Input of {@link planVolume}. */
export interface VolumeInput {
  /**
   * The `volumeAttributes` of the pod: names of annotations without their prefix. The caller removes those that the
   * kubelet adds (`csi.storage.k8s.io/…`); here they would be rejected as unknown.
   */
  readonly attributes: Annotations;
  /** Annotations of the pod's namespace; undefined if they are not known. */
  readonly namespaceAnnotations?: Annotations | undefined;
  readonly installation: Installation;
  /** As reported by the kubelet. */
  readonly pod: { readonly namespace: string; readonly serviceAccount: string };
  /** True if the pod has an fsGroup, which then owns the files. */
  readonly hasGroup: boolean;
  readonly checkTemplate: CheckTemplate;
}

/** A plan with the document in the types of src/config. */
export interface PlannedVolume extends VolumePlan {
  /** What the document means. */
  readonly config: AgentConfig;
  readonly document: RawAgentConfig;
}

const SHORTER = 'make the templates shorter';

/** Plans a volume. Deterministic; never throws. */
export function planVolume(input: VolumeInput): PlannedVolume | VolumeRefusal {
  const { installation } = input;
  const diagnostics = new Diagnostics();
  const resolved = resolveVolume(input, diagnostics);
  checkLevels(resolved, installation, diagnostics);
  const byToken = installation.csi.identity.kind === 'service-account';
  const needs = needsOf(resolved, installation, diagnostics, byToken);
  checkDriver({ resolved, needs, installation }, diagnostics);
  const document = agentDocument(resolved, needs, {
    mode: 'csi',
    fileMode: input.hasGroup ? '0440' : '0444',
    listen: undefined,
    graceSeconds: 0,
    socket: installation.csi.identity.socket,
    maxRenderBytes: installation.csi.maxRenderBytes,
  });
  const contents = { ...input, settings: resolved, config: document };
  const literals = checkContents({ ...contents, remedy: () => SHORTER }, diagnostics);
  checkDependencies({ resolved, literals, installation }, diagnostics);
  const asked = { ...input.pod, settings: resolved, installation, literals };
  diagnostics.forbid(...decideByPolicies({ ...asked, logins: needs.logins }).problems);
  const sizeBytes = sizeOf({ resolved, needs, installation }, diagnostics);
  const { problems, warnings, isForbidden, isClean } = diagnostics;
  if (!isClean) return { kind: 'refused', problems, isForbidden };
  const config = parseAgentConfig(document);
  const tokenAudience = needs.token === undefined ? undefined : (needs.token.audience ?? '');
  return { kind: 'planned', config, document, sizeBytes, tokenAudience, warnings };
}

/** Reports settings of other levels that these may not have, and a `mount-path` without effect. */
function checkLevels(
  resolved: ResolvedSettings,
  installation: Installation,
  diagnostics: Diagnostics,
): void {
  const { settings, files } = resolved;
  const saysWhere = gcpCredentialFile(settings, files) !== undefined;
  const ignored = saysWhere ? NOT_IN_VOLUME : { ...NOT_IN_VOLUME, 'mount-path': NO_MOUNT_PATH };
  diagnostics.forbid(...levelProblems(resolved, installation, ignored));
  if (saysWhere || settings['mount-path'].source !== 'pod') return;
  diagnostics.invalid({
    path: `${installation.annotationPrefix}/mount-path`,
    message: `is not an attribute of a volume: ${NO_MOUNT_PATH}`,
  });
}

/** Attributes as annotations. What is not an attribute of a volume is reported and left out. */
function resolveVolume(input: VolumeInput, diagnostics: Diagnostics): ResolvedSettings {
  const { attributes, namespaceAnnotations, installation } = input;
  const prefix = installation.annotationPrefix;
  const pod: Record<string, string> = { [`${prefix}/mode`]: 'csi' };
  for (const [name, text] of Object.entries(attributes)) {
    const reason = attributeProblem(name, text);
    if (reason === undefined) pod[`${prefix}/${name}`] = text;
    else diagnostics.invalid({ path: `${prefix}/${name}`, message: reason });
  }
  const resolved = resolveSettings({
    prefix,
    pod,
    namespace: namespaceAnnotations,
    installation: installation.defaults,
    unknown: 'rejected',
  });
  diagnostics.invalid(...resolved.problems);
  diagnostics.warn(...resolved.warnings);
  return withMinRefresh({ ...resolved, problems: diagnostics.problems }, installation, diagnostics);
}

/** Reports a `refresh` of the pod below the minimum of the driver; a default of another level is raised to it. */
function withMinRefresh(
  resolved: ResolvedSettings,
  installation: Installation,
  diagnostics: Diagnostics,
): ResolvedSettings {
  const { minRefreshMs } = installation.csi;
  const prefix = installation.annotationPrefix;
  const least = formatDuration(minRefreshMs);
  const report = (name: string, text = ''): void => {
    const message = `${text} is less than the minimum of this installation, ${least} (csi.minRefresh)`;
    diagnostics.invalid({ path: `${prefix}/${name}`, message });
  };
  for (const { name, refresh: own } of resolved.files) {
    if (own !== undefined && own.value < minRefreshMs) report(`refresh-${name}`, own.text);
  }
  const { refresh } = resolved.settings;
  if (refresh.value >= minRefreshMs) return resolved;
  if (refresh.source === 'pod') {
    report('refresh', refresh.text);
    return resolved;
  }
  const lifted = { value: minRefreshMs, source: 'installation', text: least } as const;
  const warning = `${prefix}/refresh of the ${refresh.source} is less than csi.minRefresh: ${least} is used`;
  diagnostics.warn(warning);
  return { ...resolved, settings: { ...resolved.settings, refresh: lifted } };
}

/** Reports too many dependencies, as far as they are known before rendering. */
function checkDependencies(
  {
    resolved,
    literals,
    installation,
  }: {
    readonly resolved: ResolvedSettings;
    readonly literals: LiteralDependencies;
    readonly installation: Installation;
  },
  diagnostics: Diagnostics,
): void {
  const { maxDependencies } = installation.csi;
  const known = new Set([...literals.values()].flat().map(dependencyKey));
  for (const { secret, 'jwt-svid': audiences } of resolved.files) {
    if (secret !== undefined) known.add(dependencyKey({ kind: 'read', path: secret.value.path }));
    if (audiences !== undefined) {
      known.add(dependencyKey({ kind: 'jwt-svid', audiences: audiences.value }));
    }
  }
  if (known.size <= maxDependencies) return;
  const message = `the volume depends on ${known.size} secrets; the maximum is ${maxDependencies} (csi.maxDependencies)`;
  diagnostics.invalid({ path: `${installation.annotationPrefix}/mode`, message });
}

function attributeProblem(name: string, text: string): string | undefined {
  if (name === 'mode') {
    return text === 'csi'
      ? undefined
      : 'conflicts with the CSI volume: set csi, or remove the attribute';
  }
  return Object.hasOwn(NOT_IN_VOLUME, name)
    ? `is not an attribute of a volume: ${NOT_IN_VOLUME[name]}`
    : undefined;
}

interface Found {
  readonly resolved: ResolvedSettings;
  readonly needs: Needs;
  readonly installation: Installation;
}

/** Reports what the driver of this installation cannot provide. */
function checkDriver(found: Found, diagnostics: Diagnostics): void {
  const { resolved, needs, installation } = found;
  const prefix = installation.annotationPrefix;
  const { source } = resolved.settings.vault;
  // What another file would choose is denied in any case.
  const [login] = needs.logins;
  const isNamed =
    login === undefined || Object.hasOwn(installation.vault.connections, login.chosen);
  if (!isNamed && source !== 'installation') {
    // The driver could reach addresses that the network policies of the pod's namespace deny to the pod.
    const message =
      'an address is supported only for an agent in the pod: set the name of a connection';
    diagnostics.invalid({ path: `${prefix}/vault`, message });
  }
  if (login?.connection.caConfigMap !== undefined) {
    const message = `the CA of connection "${login.chosen}" is in a ConfigMap (caConfigMap), which the driver does not read: set caPem of the connection`;
    diagnostics.invalid({ path: `${prefix}/vault`, message });
  }
  if (installation.csi.identity.kind === 'service-account') checkNoSvid(found, diagnostics);
  checkToken(found, diagnostics);
}

function checkNoSvid({ resolved, needs, installation }: Found, diagnostics: Diagnostics): void {
  const { settings } = resolved;
  const method = settings['auth-method'].value;
  const names = new Set<string>([
    ...svidUsers(resolved),
    ...(settings.identity.source === 'pod' && settings.identity.value === 'spiffe'
      ? ['identity']
      : []),
    ...(needs.logins.length > 0 && ['cert', 'spiffe'].includes(method) ? ['auth-method'] : []),
  ]);
  const message =
    'requires an SVID, but the CSI driver of this installation uses service-account tokens (csi.identity.kind)';
  for (const name of names) {
    diagnostics.invalid({ path: `${installation.annotationPrefix}/${name}`, message });
  }
}

/** The kubelet passes only tokens for the audiences of the CSIDriver object. */
function checkToken({ needs, installation }: Found, diagnostics: Diagnostics): void {
  if (needs.token === undefined) return;
  const { tokenAudiences } = installation.csi;
  const wanted = needs.token.audience ?? '';
  if (tokenAudiences.includes(wanted)) return;
  const known = tokenAudiences.map((one) => `"${one}"`).join(', ');
  const message = `the CSI driver gets no service-account token for audience "${wanted}" (csi.tokenAudiences)`;
  const help = `it gets tokens for ${known === '' ? 'no audience' : known}`;
  diagnostics.invalid({ path: `${installation.annotationPrefix}/audience`, message, help });
}

function sizeOf({ resolved, installation }: Found, diagnostics: Diagnostics): number {
  const size = resolved.settings['volume-size'];
  const { maxVolumeBytes } = installation.csi;
  const bytes = Math.ceil(parseQuantity(size.value) ?? 0);
  if (size.source === 'built in') return Math.min(bytes, maxVolumeBytes);
  const path = `${installation.annotationPrefix}/volume-size`;
  if (bytes > maxVolumeBytes) {
    const message = `${size.value} is more than the maximum of ${maxVolumeBytes} bytes (csi.maxVolumeSize)`;
    diagnostics.invalid({ path, message });
  }
  if (bytes < DEFAULTS.MIN_VOLUME_BYTES) {
    const message = `${size.value} is less than the minimum of ${DEFAULTS.MIN_VOLUME_BYTES} bytes`;
    diagnostics.invalid({ path, message });
  }
  return bytes;
}
