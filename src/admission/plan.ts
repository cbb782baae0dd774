/**
 * Everything about one injection that can be decided, and every reason why it cannot be. Ring: admission.
 */
import type { RawAgentConfig, ResolvedSettings } from '../config/index.ts';
import type { Problem } from '../core/index.ts';
import type { Addition } from './assemble.ts';
import { azureVariables } from './azure.ts';
import { ownContainers, ownVolumes } from './containers.ts';
import { checkContents, checkSize } from './contents.ts';
import { agentDocument, needsOf } from './document.ts';
import type { InjectionInput } from './inject.ts';
import { CONTAINER_VARIABLE, isOwnContainer, isOwnVolume } from './names.ts';
import type { Container, Pod } from './pod.ts';
import { policyProblems, serviceAccountOf } from './policy.ts';
import { findTargets, runningContainers, type Targets } from './targets.ts';
import { agentUser, defaultFileMode } from './user.ts';

/** A plan, or the problems that stand in its way. */
export interface Plan {
  /** Undefined where there are problems. */
  readonly addition: Addition | undefined;
  readonly config: RawAgentConfig;
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
  /** True where the installation is what says no. */
  readonly isForbidden: boolean;
}

/** {@link InjectionInput} with the pod as it was before any injection. */
export type PlanInput = Omit<InjectionInput, 'namespaceAnnotations'> & {
  readonly settings: ResolvedSettings;
};

/** Plans the injection of a pod that asks for it. */
export function planInjection(input: PlanInput): Plan {
  const { pod, settings: resolved, installation } = input;
  const { settings, files } = resolved;
  const prefix = installation.annotationPrefix;
  const problems: Problem[] = [...resolved.problems];
  const warnings: string[] = [];
  checkPlatform(pod, problems);
  checkContents(input, problems);
  const mode = modeOf(input, problems, warnings);
  const targets = findTargets({ pod, settings, files, prefix }, problems);
  const forbidden: Problem[] = [];
  const needs = needsOf(resolved, installation, { problems, forbidden });
  if (needs.vault !== undefined) {
    forbidden.push(...policyProblems({ ...input, serviceAccount: serviceAccountOf(pod) }));
  }
  const who = {
    pod,
    settings,
    installation,
    consumers: targets.consumers,
    targets: targets.signalled,
  };
  const user = agentUser(who, problems);
  const hostNetwork = pod.spec.hostNetwork === true;
  const port = settings.port.value;
  const config = agentDocument(resolved, needs, {
    mode,
    fileMode: defaultFileMode(who, user),
    listen: hostNetwork ? `127.0.0.1:${port}` : `:${port}`,
    socket: installation.spiffe.socket,
  });
  const variables = azureVariables(resolved);
  checkPod(pod, targets, input, problems);
  checkVariables(targets, variables, problems, warnings);
  const remedy = (name: string): string =>
    `put the template into a ConfigMap and name it with ${prefix}/template-from-${name}`;
  checkSize(resolved, prefix, remedy, { config, problems });
  const parts = { config, settings, files, needs, user, installation, mode, hostNetwork };
  const addition: Addition = {
    prefix,
    own: ownContainers(parts),
    position: targets.position,
    volumes: ownVolumes(parts),
    consumers: new Set(targets.consumers.map(({ name }) => name)),
    mountPath: settings['mount-path'].value,
    variables,
    signalled: new Set(targets.signalled.map(({ name }) => name)),
  };
  return {
    addition: problems.length + forbidden.length > 0 ? undefined : addition,
    config,
    problems: [...problems, ...forbidden],
    warnings,
    isForbidden: forbidden.length > 0,
  };
}

function checkPlatform(pod: Pod, problems: Problem[]): void {
  const path = windowsField(pod);
  if (path !== undefined) problems.push({ path, message: 'pods on Windows cannot have the agent' });
}

/** The field that puts the pod on Windows, if there is one. */
function windowsField({ spec }: Pod): string | undefined {
  if (spec.os?.name === 'windows') return 'spec.os.name';
  const label = 'kubernetes.io/os';
  return spec.nodeSelector?.[label] === 'windows' ? `spec.nodeSelector["${label}"]` : undefined;
}

/** Native sidecars came with Kubernetes 1.29. */
function modeOf(
  { pod, settings, installation, kubeVersion }: PlanInput,
  problems: Problem[],
  warnings: string[],
): 'native' | 'pair' | 'init' {
  const asked = settings.settings.mode;
  const path = `${installation.annotationPrefix}/mode`;
  if (asked.value === 'csi' && asked.source === 'pod')
    problems.push({ path, message: 'this installation has no CSI driver: say native' });
  const isOld = kubeVersion !== undefined && isBefore(kubeVersion, 29);
  if (asked.value === 'native' && isOld) {
    const message = `native needs Kubernetes 1.29, this is ${kubeVersion}`;
    if (asked.source === 'pod')
      problems.push({ path, message: `${message}: say pair or leave it out` });
    else warnings.push(`${path} of the ${asked.source}: ${message}; pair is used`);
  }
  const mode =
    asked.value === 'pair' || asked.value === 'init' ? asked.value : isOld ? 'pair' : 'native';
  if (mode === 'pair' && isToEnd(pod)) {
    warnings.push(
      `${path} pair keeps the pod of a Job running: say init, or native on Kubernetes 1.29`,
    );
  }
  return mode;
}

/** True for pods of Jobs, which do not end while a plain sidecar runs. */
function isToEnd({ metadata, spec }: Pod): boolean {
  const isJob = metadata.ownerReferences?.some(({ kind }) => kind === 'Job') ?? false;
  return isJob || (spec.restartPolicy ?? 'Always') !== 'Always';
}

function isBefore(version: string, minor: number): boolean {
  const [, major, found] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  return major !== undefined && Number(major) === 1 && Number(found) < minor;
}

function checkPod(pod: Pod, targets: Targets, input: PlanInput, problems: Problem[]): void {
  const { settings, installation } = input;
  const prefix = installation.annotationPrefix;
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  for (const { name } of containers.filter((one) => isOwnContainer(one.name))) {
    problems.push({ path: 'spec', message: `the container name "${name}" is Vouchsafe's own` });
  }
  for (const { name } of (pod.spec.volumes ?? []).filter((one) => isOwnVolume(one.name))) {
    problems.push({
      path: 'spec.volumes',
      message: `the volume name "${name}" is Vouchsafe's own`,
    });
  }
  for (const container of targets.consumers) {
    const message = mountConflict(container, settings.settings['mount-path'].value);
    if (message !== undefined) problems.push({ path: `${prefix}/mount-path`, message });
  }
  const port = settings.settings.port.value;
  const taken = runningContainers(pod).find((one) =>
    one.ports?.some(({ containerPort }) => containerPort === port),
  );
  if (taken !== undefined) {
    const message = `container "${taken.name}" uses port ${port} already: choose another one`;
    problems.push({ path: `${prefix}/port`, message });
  }
}

function mountConflict(container: Container, mountPath: string): string | undefined {
  const conflict = container.volumeMounts?.find((mount) => {
    const path = mount.mountPath.replace(/(?<!\/)\/+$/, '');
    return path === mountPath || path.startsWith(`${mountPath}/`);
  });
  if (conflict === undefined) return undefined;
  return `container "${container.name}" mounts volume "${conflict.name}" at ${conflict.mountPath}, which is in the way of ${mountPath}`;
}

function checkVariables(
  targets: Targets,
  variables: Readonly<Record<string, string>>,
  problems: Problem[],
  warnings: string[],
): void {
  for (const { name, env } of targets.signalled) {
    if (env?.some((one) => one.name === CONTAINER_VARIABLE) === true) {
      const message = `container "${name}" sets ${CONTAINER_VARIABLE}, which is Vouchsafe's own`;
      problems.push({ path: 'spec.containers', message });
    }
  }
  for (const { name, env } of targets.consumers) {
    for (const one of env?.filter((each) => Object.hasOwn(variables, each.name)) ?? []) {
      warnings.push(`container ${name} sets ${one.name} itself; its own value is kept`);
    }
  }
}
