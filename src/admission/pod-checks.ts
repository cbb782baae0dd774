/**
 * Checks of a pod's own parts against what is added to it.
 */
import type { Problem } from '../core/index.ts';
import { isOwnContainer, isOwnVolume } from './names.ts';
import type { Container, Pod } from './pod.ts';

/** Reports a pod on Windows. */
export function checkPlatform(pod: Pod, problems: Problem[]): void {
  const path = windowsField(pod);
  if (path !== undefined) problems.push({ path, message: 'pods on Windows cannot have the agent' });
}

/** Reports containers and volumes of the pod with names of ours. */
export function checkNames({ spec }: Pod, problems: Problem[]): void {
  const containers = [
    ...spec.containers,
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ];
  for (const { name } of containers.filter((one) => isOwnContainer(one.name))) {
    problems.push({ path: 'spec', message: `the container name "${name}" is Vouchsafe's own` });
  }
  for (const { name } of (spec.volumes ?? []).filter((one) => isOwnVolume(one.name))) {
    const message = `the volume name "${name}" is Vouchsafe's own`;
    problems.push({ path: 'spec.volumes', message });
  }
}

/**
 * Reports containers of the pod that mount what is ours, above all the Vault token. Files are for the containers that
 * the settings name, and injection mounts them there.
 */
export function checkForeignMounts({ spec }: Pod, problems: Problem[]): void {
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const) {
    for (const { name, volumeMounts, volumeDevices } of spec[list] ?? []) {
      const used = [...(volumeMounts ?? []), ...(volumeDevices ?? [])].map((one) => one.name);
      for (const volume of new Set(used.filter(isOwnVolume))) {
        const message = `container "${name}" mounts "${volume}", which is Vouchsafe's own: choose with containers and init-containers who sees the files`;
        problems.push({ path: `spec.${list}`, message });
      }
    }
  }
}

/** Reports mounts at or below the place of the files. */
export function checkMounts(
  consumers: readonly Container[],
  mountPath: string,
  prefix: string,
  problems: Problem[],
): void {
  for (const container of consumers) {
    const message = mountConflict(container, mountPath);
    if (message !== undefined) problems.push({ path: `${prefix}/mount-path`, message });
  }
}

/** Warns of variables that a container has already. */
export function checkVariables(
  consumers: readonly Container[],
  variables: Readonly<Record<string, string>>,
  warnings: string[],
): void {
  for (const { name, env } of consumers) {
    for (const one of env?.filter((each) => Object.hasOwn(variables, each.name)) ?? []) {
      warnings.push(`container ${name} sets ${one.name} itself; its own value is kept`);
    }
  }
}

/** The field that puts the pod on Windows, if there is one. */
function windowsField({ spec }: Pod): string | undefined {
  if (spec.os?.name === 'windows') return 'spec.os.name';
  const label = 'kubernetes.io/os';
  return spec.nodeSelector?.[label] === 'windows' ? `spec.nodeSelector["${label}"]` : undefined;
}

function mountConflict(container: Container, mountPath: string): string | undefined {
  const conflict = container.volumeMounts?.find((mount) => {
    const path = mount.mountPath.replace(/(?<!\/)\/+$/, '');
    return path === mountPath || path.startsWith(`${mountPath}/`);
  });
  if (conflict === undefined) return undefined;
  return `container "${container.name}" mounts volume "${conflict.name}" at ${conflict.mountPath}, which is in the way of ${mountPath}`;
}
