/**
 * Checks of a pod's own parts against the parts that are added.
 */
import { fieldsOf } from '../core/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import { isOwnContainer, isOwnVolume } from './names.ts';
import type { Container, EnvVar, Pod } from './pod.ts';

/** Reports containers and volumes of the pod with reserved names. */
export function checkNames({ spec }: Pod, diagnostics: Diagnostics): void {
  const containers = [
    ...spec.containers,
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ];
  for (const { name } of containers.filter((one) => isOwnContainer(one.name))) {
    diagnostics.invalid({
      path: 'spec',
      message: `the container name "${name}" is reserved for Vouchsafe`,
    });
  }
  for (const { name } of (spec.volumes ?? []).filter((one) => isOwnVolume(one.name))) {
    const message = `the volume name "${name}" is reserved for Vouchsafe`;
    diagnostics.invalid({ path: 'spec.volumes', message });
  }
}

/**
 * Reports containers of the pod that mount volumes of ours, above all the one with the Vault token. Injection mounts
 * the files into the containers that the settings select.
 */
export function checkForeignMounts({ spec }: Pod, diagnostics: Diagnostics): void {
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const) {
    for (const { name, volumeMounts, volumeDevices, env } of spec[list] ?? []) {
      const used = [...(volumeMounts ?? []), ...(volumeDevices ?? [])].map((one) => one.name);
      for (const volume of new Set(used.filter(isOwnVolume))) {
        const message = `container "${name}" mounts "${volume}", which is reserved for Vouchsafe: set containers and init-containers to select who sees the files`;
        diagnostics.invalid({ path: `spec.${list}`, message });
      }
      for (const volume of new Set((env ?? []).map(volumeReadBy).filter(isOwnVolume))) {
        const message = `container "${name}" has a variable from a file of "${volume}", which is reserved for Vouchsafe: set env-<NAME>`;
        diagnostics.invalid({ path: `spec.${list}`, message });
      }
    }
  }
}

/** The volume that a variable comes from, whose files the kubelet reads as root; empty for other variables. */
function volumeReadBy({ valueFrom }: EnvVar): string {
  const { volumeName } = fieldsOf(fieldsOf(valueFrom)['fileKeyRef']);
  return typeof volumeName === 'string' ? volumeName : '';
}

/** Warns of variables that a container already sets. */
export function checkVariables(
  consumers: readonly Container[],
  variables: Readonly<Record<string, string>>,
  diagnostics: Diagnostics,
): void {
  for (const { name, env } of consumers) {
    for (const one of env?.filter((each) => Object.hasOwn(variables, each.name)) ?? []) {
      diagnostics.warn(`container ${name} sets ${one.name} itself; its own value is kept`);
    }
  }
}
