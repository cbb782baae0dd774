/**
 * `vouchsafe explain`: what the webhook would do to a manifest, and why.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  AGENT_CONTAINER,
  INIT_CONTAINER,
  VOLUME,
  type Container,
  type InjectionResult,
  type Pod,
} from '../admission/index.ts';
import type { RawAgentConfig } from '../config/agent/index.ts';
import { parseInstallation, type Installation } from '../config/installation/index.ts';
import { DEFAULTS } from '../config/schema/index.ts';
import { EXIT, explainProblems, fieldsOf, formatDuration } from '../core/index.ts';
import {
  admitManifests,
  type InjectedPod,
  type ManifestOptions,
  type PodlessManifest,
} from './admit.ts';
import type { Io } from './io.ts';
import { isManifest } from './manifest.ts';

/** Explains every pod of the manifests. Resolves to the exit code for a denial if any pod would be denied. */
export async function explainManifests(io: Io, options: ManifestOptions): Promise<number> {
  const { pods, podless, installation } = await admitManifests(io, options);
  if (pods.length === 0) io.out('no pod in these manifests\n');
  const texts = [
    ...pods.map((pod) => explainPod(pod, installation)),
    ...podless.map(explainPodless),
  ];
  io.out(texts.join('\n'));
  const isDenied = pods.some(({ result }) => result.outcome === 'denied');
  return isDenied ? EXIT.denied : EXIT.ok;
}

function explainPodless({ owner, namespace, message, warnings }: PodlessManifest): string {
  const head = `${owner} in namespace ${namespace}: not a pod`;
  return `${[head, `  ${message}`, ...section('warnings', warnings)].join('\n')}\n`;
}

function explainPod({ found, result, misplaced }: InjectedPod, installation: Installation): string {
  const { outcome, reason } = result;
  const message = outcome === 'denied' ? explainProblems(result.problems) : result.message;
  const sections = [
    `${found.owner} in namespace ${found.namespace}: ${outcome} (${reason})`,
    ...message.split('\n').map((line) => `  ${line}`),
    ...section('warnings', [...misplaced, ...result.warnings]),
    ...section('settings', settingLines(result, installation)),
    ...section('files', itemLines(result.settings.files)),
    ...section('variables', itemLines(result.settings.variables)),
    ...(outcome === 'injected' ? section('added', addedLines(found.pod, result.pod)) : []),
  ];
  return `${sections.join('\n')}\n`;
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  ${line}`)];
}

function settingLines(result: InjectionResult, installation: Installation): readonly string[] {
  const decided = decisions(result);
  const installed = installedSettings(installation);
  const rows = Object.entries(result.settings.settings).map(([name, { value, source, text }]) => {
    const isInstalled = source === 'built in' && installed.includes(name);
    return [
      name,
      name === 'mode'
        ? formatMode(text, decided[name])
        : (text ?? decided[name] ?? formatValue(name, value)),
      isInstalled ? 'installation' : source,
    ] as const;
  });
  return table(rows);
}

/** The mode that the pod gets, beside a default that the pod or the cluster does not support. */
function formatMode(asked: string | undefined, decided: string | undefined): string {
  if (asked === undefined || decided === undefined) return asked ?? decided ?? '-';
  return asked === decided ? asked : `${decided} (not ${asked})`;
}

/** Settings that the installation sets outside its `defaults`, where they differ from the built-in values. */
function installedSettings({ vault, agent }: Installation): readonly string[] {
  const builtIn = parseInstallation({});
  return [
    ...(isDeepStrictEqual(vault, builtIn.vault) ? [] : ['vault']),
    ...(agent.image === builtIn.agent.image ? [] : ['image']),
  ];
}

/** What admission chose for settings that are not set. */
function decisions({
  outcome,
  agentConfig,
  pod,
}: InjectionResult): Readonly<Record<string, string>> {
  if (outcome !== 'injected' || agentConfig === undefined) return {};
  const rows = [...decidedForAgent(agentConfig), ...decidedForPod(pod)];
  return Object.fromEntries(
    rows.map(([name, value, otherwise]) => [name, value === undefined ? otherwise : text(value)]),
  );
}

/** Setting, value, and the text for a missing value. */
type Decision = readonly [string, unknown, string];

function decidedForAgent({
  auth = {},
  vault,
  spiffe,
  output,
}: RawAgentConfig): readonly Decision[] {
  const fileMode = DEFAULTS.FILE_MODE.toString(8).padStart(4, '0');
  return [
    ['identity', auth.tokenFile && 'service-account', 'spiffe'],
    ['vault', vault?.address, '(not used)'],
    ['role', auth.role, '(default role of the mount)'],
    ['auth-mount', auth.mount ?? auth.method, '(not used)'],
    ['spiffe-id', spiffe?.spiffeId, '(the first SVID)'],
    ['spiffe-hint', spiffe?.hint, '(any)'],
    ['file-mode', output?.mode, fileMode],
  ];
}

/** For settings of the agent's container where the pod has none. */
const UNUSED = '(no agent in the pod)';

function decidedForPod(pod: Pod): readonly Decision[] {
  const agent = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find(({ name }) =>
    [AGENT_CONTAINER, INIT_CONTAINER].includes(name),
  );
  return [
    ['mode', modeOf(pod), ''],
    ['containers', undefined, '(all)'],
    ['init-containers', undefined, '(none)'],
    [
      'run-as-user',
      agent?.securityContext?.runAsUser,
      agent === undefined ? UNUSED : '(assigned by the platform)',
    ],
    ['image', agent?.['image'], UNUSED],
  ];
}

function modeOf({ spec }: Pod): string {
  if (spec.volumes?.some(({ name, csi }) => name === VOLUME.secrets && csi !== undefined) === true)
    return 'csi';
  if (spec.initContainers?.some(({ name }) => name === AGENT_CONTAINER)) return 'native';
  return spec.containers.some(({ name }) => name === AGENT_CONTAINER) ? 'pair' : 'init';
}

type ItemSettings = InjectionResult['settings']['files' | 'variables'][number];

function itemLines(items: readonly ItemSettings[]): readonly string[] {
  const rows = items.flatMap(({ name, ...given }) =>
    Object.entries(given).map(
      ([setting, { text, source }]) => [`${setting}-${name}`, text ?? '', source] as const,
    ),
  );
  return table(rows);
}

/** What the injection adds to the pod. */
function addedLines(before: unknown, after: Pod): readonly string[] {
  const spec = isManifest(before) && isManifest(before['spec']) ? before['spec'] : {};
  const names = (list: unknown): readonly string[] =>
    Array.isArray(list)
      ? list.flatMap((item: unknown) => (isManifest(item) ? [String(item['name'])] : []))
      : [];
  const lines: string[] = [];
  for (const field of ['initContainers', 'containers', 'volumes'] as const) {
    const known = names(spec[field]);
    const added = names(after.spec[field]).filter((name) => !known.includes(name));
    if (added.length > 0) lines.push(`${field}: ${added.join(', ')}`);
  }
  return [...lines, ...after.spec.containers.flatMap(seenLines)];
}

/** What a container sees of the injection. */
function seenLines({ name, volumeMounts, env }: Container): readonly string[] {
  const mount = volumeMounts?.find((one) => one.name === VOLUME.secrets);
  const variables = env?.filter(isOfAgent).map((one) => one.name) ?? [];
  return [
    ...(mount?.readOnly === true ? [`${name} mounts the files at ${mount.mountPath}`] : []),
    ...(variables.length > 0 ? [`${name} gets the variables ${variables.join(', ')}`] : []),
  ];
}

/** Whether the kubelet reads a variable from a file of the agent. */
function isOfAgent({ valueFrom }: { readonly valueFrom?: unknown }): boolean {
  return fieldsOf(fieldsOf(valueFrom)['fileKeyRef'])['volumeName'] === VOLUME.env;
}

function table(rows: readonly (readonly [string, string, string])[]): readonly string[] {
  const widths = [0, 1].map((column) =>
    Math.min(48, Math.max(0, ...rows.map((row) => (row[column] ?? '').length))),
  );
  return rows.map(([name, value, source]) => {
    const oneLine = value.replaceAll('\n', '\\n');
    const shown = oneLine.length > 48 ? `${oneLine.slice(0, 45)}...` : oneLine;
    return `${name.padEnd(widths[0] ?? 0)}  ${shown.padEnd(widths[1] ?? 0)}  ${source}`;
  });
}

/** Settings whose parsed value is a duration in milliseconds. */
const DURATIONS: readonly string[] = ['refresh', 'init-deadline', 'revoke-grace', 'revoke-delay'];

function formatValue(name: string, value: unknown): string {
  if (value === undefined) return '-';
  if (typeof value === 'number' && DURATIONS.includes(name)) return formatDuration(value);
  if (isManifest(value)) return Object.values(value).map(text).join('/');
  return text(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
