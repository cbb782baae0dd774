/**
 * Attributes of a CSI volume -> the document that the driver's engine runs by, or every reason why not. Pure: the
 * driver asks it when a volume is published, and admission when a pod asks for `mode: csi`.
 */
import {
  DEFAULTS,
  NOT_IN_VOLUME,
  parseAgentConfig,
  resolveSettings,
  type AgentConfig,
  type Annotations,
  type Installation,
  type RawAgentConfig,
  type ResolvedSettings,
} from '../config/index.ts';
import {
  dependencyKey,
  formatDuration,
  parseQuantity,
  toVouchsafeError,
  type Problem,
} from '../core/index.ts';
import { checkContents, type CheckTemplate, type LiteralDependencies } from './file-checks.ts';
import { agentDocument, needsOf, svidUsers, type Needs } from './document.ts';
import { levelProblems } from './levels.ts';
import { decideByPolicies } from './policy.ts';

/** Everything that a volume goes by. */
export interface VolumeInput {
  /**
   * The `volumeAttributes` of the pod: names of annotations without their prefix. What the kubelet adds
   * (`csi.storage.k8s.io/…`) is the caller's to take out, or it is refused as unknown.
   */
  readonly attributes: Annotations;
  /** Annotations of the pod's namespace; undefined where they are not known. */
  readonly namespaceAnnotations?: Annotations | undefined;
  readonly installation: Installation;
  /** As the kubelet names it. */
  readonly pod: { readonly namespace: string; readonly serviceAccount: string };
  /** True where the pod has an fsGroup, which the files then belong to. */
  readonly hasGroup: boolean;
  readonly checkTemplate: CheckTemplate;
}

/** What the driver is to do for a volume. */
export interface VolumePlan {
  readonly kind: 'planned';
  /** Has no output directory, state directory or address of its own: the driver puts its own there. */
  readonly config: AgentConfig;
  readonly document: RawAgentConfig;
  /** Most that the volume may hold. */
  readonly sizeBytes: number;
  /** The kubelet's token that logs in, by its audience (`''` is the API server's); undefined for SVIDs. */
  readonly tokenAudience: string | undefined;
  /** What is odd but does no harm: nobody but a log is told. */
  readonly warnings: readonly string[];
}

/** Why there can be no such volume. */
export interface VolumeRefusal {
  readonly kind: 'refused';
  /** All of them. Attributes are named as annotations: `vouchsafe.dev/role`. */
  readonly problems: readonly Problem[];
  /** True where the installation is what says no. */
  readonly isForbidden: boolean;
}

const SHORTER = 'make the templates shorter';

/** Plans a volume. Throws nothing; equal input gives an equal plan. */
export function planVolume(input: VolumeInput): VolumePlan | VolumeRefusal {
  const { installation } = input;
  const prefix = installation.annotationPrefix;
  const problems: Problem[] = [];
  const resolved = resolveVolume(input, problems);
  const forbidden: Problem[] = [...levelProblems(resolved, installation, NOT_IN_VOLUME)];
  const byToken = installation.csi.identity.kind === 'service-account';
  const needs = needsOf(resolved, installation, { problems, forbidden }, byToken);
  checkDriver({ resolved, needs, installation }, problems);
  const document = agentDocument(resolved, needs, {
    mode: 'csi',
    fileMode: input.hasGroup ? '0440' : '0444',
    listen: undefined,
    graceSeconds: 0,
    socket: installation.csi.identity.socket,
    maxRenderBytes: installation.csi.maxRenderBytes,
  });
  const contents = { ...input, settings: resolved, config: document };
  const literals = checkContents({ ...contents, remedy: () => SHORTER }, problems);
  checkDependencies({ resolved, literals, installation }, problems);
  const asked = { ...input.pod, settings: resolved, installation, literals };
  const usesVault = needs.vault !== undefined;
  forbidden.push(...decideByPolicies({ ...asked, usesVault }).problems);
  const sizeBytes = sizeOf({ resolved, needs, installation }, problems);
  const refused = [...problems, ...forbidden];
  const isForbidden = forbidden.length > 0;
  if (refused.length > 0) return { kind: 'refused', problems: refused, isForbidden };
  const config = read(document, prefix);
  if ('kind' in config) return config;
  const tokenAudience = needs.token === undefined ? undefined : (needs.token.audience ?? '');
  const { warnings } = resolved;
  return { kind: 'planned', config, document, sizeBytes, tokenAudience, warnings };
}

/** The attributes as the annotations that they stand for; what is none of a volume's is reported and left out. */
function resolveVolume(input: VolumeInput, problems: Problem[]): ResolvedSettings {
  const { attributes, namespaceAnnotations, installation } = input;
  const prefix = installation.annotationPrefix;
  const pod: Record<string, string> = { [`${prefix}/mode`]: 'csi' };
  for (const [name, text] of Object.entries(attributes)) {
    const reason = reasonAgainst(name, text);
    if (reason === undefined) pod[`${prefix}/${name}`] = text;
    else problems.push({ path: `${prefix}/${name}`, message: reason });
  }
  const resolved = resolveSettings({
    prefix,
    pod,
    namespace: namespaceAnnotations,
    installation: installation.defaults,
    unknown: 'rejected',
  });
  problems.push(...resolved.problems);
  return withFloor({ ...resolved, problems }, input.installation, problems);
}

/** Reports what the pod asks to be read again more often than the driver does; a default of others is lifted. */
function withFloor(
  resolved: ResolvedSettings,
  installation: Installation,
  problems: Problem[],
): ResolvedSettings {
  const { minRefreshMs } = installation.csi;
  const prefix = installation.annotationPrefix;
  const least = formatDuration(minRefreshMs);
  const report = (name: string, text = ''): void => {
    const message = `${text} is less than the ${least} that a volume of this installation may have (csi.minRefresh)`;
    problems.push({ path: `${prefix}/${name}`, message });
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
  return {
    ...resolved,
    settings: { ...resolved.settings, refresh: lifted },
    warnings: [...resolved.warnings, warning],
  };
}

/** Reports what asks for too much even before anything is rendered. */
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
  problems: Problem[],
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
  const message = `depends on ${known.size} secrets, more than the ${maxDependencies} that one volume may have (csi.maxDependencies)`;
  problems.push({ path: `${installation.annotationPrefix}/mode`, message });
}

function reasonAgainst(name: string, text: string): string | undefined {
  if (name === 'mode') {
    return text === 'csi' ? undefined : 'contradicts the CSI volume: leave it out, or say csi';
  }
  return Object.hasOwn(NOT_IN_VOLUME, name)
    ? `is no attribute of a volume: ${NOT_IN_VOLUME[name]}`
    : undefined;
}

interface Found {
  readonly resolved: ResolvedSettings;
  readonly needs: Needs;
  readonly installation: Installation;
}

/** Reports what the driver of this installation cannot obtain. */
function checkDriver(found: Found, problems: Problem[]): void {
  const { resolved, needs, installation } = found;
  const prefix = installation.annotationPrefix;
  const { value, source } = resolved.settings.vault;
  const chosen = value ?? installation.vault.default;
  const isNamed = Object.hasOwn(installation.vault.connections, chosen);
  if (needs.vault !== undefined && !isNamed && source !== 'installation') {
    // It would reach what the network policies of the pod's namespace keep from the pod.
    const message =
      'an address is for an agent in the pod: the driver connects to none but named connections';
    problems.push({ path: `${prefix}/vault`, message });
  }
  if (needs.vault?.caConfigMap !== undefined) {
    const message = `the CA of connection "${chosen}" is in a ConfigMap (caConfigMap), and the driver reads none: give the connection a caPem`;
    problems.push({ path: `${prefix}/vault`, message });
  }
  if (installation.csi.identity.kind === 'service-account') checkNoSvid(found, problems);
  checkToken(found, problems);
}

function checkNoSvid({ resolved, needs, installation }: Found, problems: Problem[]): void {
  const { settings } = resolved;
  const method = settings['auth-method'].value;
  const names = new Set<string>([
    ...svidUsers(resolved),
    ...(settings.identity.source === 'pod' && settings.identity.value === 'spiffe'
      ? ['identity']
      : []),
    ...(needs.vault !== undefined && ['cert', 'spiffe'].includes(method) ? ['auth-method'] : []),
  ]);
  const message =
    'needs an SVID, and the CSI driver of this installation has service-account tokens alone (csi.identity.kind)';
  for (const name of names) {
    problems.push({ path: `${installation.annotationPrefix}/${name}`, message });
  }
}

/** The kubelet gives tokens for the audiences of the CSIDriver object, and no others. */
function checkToken({ needs, installation }: Found, problems: Problem[]): void {
  if (needs.token === undefined) return;
  const { tokenAudiences } = installation.csi;
  const wanted = needs.token.audience ?? '';
  if (tokenAudiences.includes(wanted)) return;
  const known = tokenAudiences.map((one) => `"${one}"`).join(', ');
  const message = `the kubelet gives the CSI driver no service-account token for "${wanted}" (csi.tokenAudiences)`;
  const help = `it does for ${known === '' ? 'nobody' : known}`;
  problems.push({ path: `${installation.annotationPrefix}/audience`, message, help });
}

function sizeOf({ resolved, installation }: Found, problems: Problem[]): number {
  const size = resolved.settings['volume-size'];
  const { maxVolumeBytes } = installation.csi;
  const bytes = Math.ceil(parseQuantity(size.value) ?? 0);
  if (size.source === 'built in') return Math.min(bytes, maxVolumeBytes);
  const path = `${installation.annotationPrefix}/volume-size`;
  if (bytes > maxVolumeBytes) {
    const message = `${size.value} is more than the ${maxVolumeBytes} bytes that one volume may have (csi.maxVolumeSize)`;
    problems.push({ path, message });
  }
  if (bytes < DEFAULTS.MIN_VOLUME_BYTES) {
    const message = `${size.value} is less than the ${DEFAULTS.MIN_VOLUME_BYTES} bytes that a volume needs`;
    problems.push({ path, message });
  }
  return bytes;
}

/** What the settings allow and the document does not: too many files, say. */
function read(document: RawAgentConfig, prefix: string): AgentConfig | VolumeRefusal {
  try {
    return parseAgentConfig(document);
  } catch (caught) {
    const problems = [{ path: prefix, message: toVouchsafeError(caught).message }];
    return { kind: 'refused', problems, isForbidden: false };
  }
}
