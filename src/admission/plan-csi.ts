/**
 * `mode: csi`: a volume of the CSI driver instead of an agent in the pod.
 */
import {
  classify,
  gcpCredentialFile,
  IGNORED_IN_CSI,
  isSettingName,
  NOT_IN_VOLUME,
  type Annotations,
} from '../config/annotations/index.ts';
import type { VolumeRefusal } from '../contracts/index.ts';
import type { Problem } from '../core/index.ts';
import type { Addition } from './assemble.ts';
import { cloudVariables } from './clouds.ts';
import { Diagnostics } from './diagnostics.ts';
import { checkModes } from './file-access.ts';
import { NO_EXCLUSION } from './meshes.ts';
import { VOLUME } from './names.ts';
import type { InjectionPlan, PlanInput } from './injection-types.ts';
import { checkMounts } from './mount-checks.ts';
import { checkPlatform } from './platform.ts';
import { checkForeignMounts, checkNames, checkVariables } from './pod-checks.ts';
import type { Named } from './pod.ts';
import { serviceAccountOf } from './policy.ts';
import { findConsumers } from './container-selection.ts';
import { planVolume, type PlannedVolume } from './volume.ts';

/** The engine of the driver runs as root without capabilities, and gives the files the group of the volume. */
const DRIVER = { user: 0, group: 0, name: 'the CSI driver' } as const;

/** Plans the volume of a pod, by the same rules as the driver. */
export function planCsi(input: PlanInput): InjectionPlan {
  const { pod, settings: resolved, installation } = input;
  const { settings } = resolved;
  const prefix = installation.annotationPrefix;
  const diagnostics = new Diagnostics();
  diagnostics.invalid(...resolved.problems);
  diagnostics.warn(...warningsOf(input));
  if (!installation.csi.enabled) {
    const message =
      'this installation has no CSI driver (csi.enabled): set native, or remove the annotation';
    diagnostics.invalid({ path: `${prefix}/mode`, message });
  }
  checkPlatform(pod, installation.agent, diagnostics);
  const attributes = attributesOf(input);
  const volume = volumeOf(input, attributes);
  if (volume.kind === 'refused') {
    const report = volume.isForbidden ? 'forbid' : 'invalid';
    diagnostics[report](...volume.problems);
  } else {
    const known = diagnostics.warnings;
    diagnostics.warn(...volume.warnings.filter((warning) => !known.includes(warning)));
  }
  const consumers = findConsumers({ pod, settings, prefix }, 0, diagnostics);
  checkNames(pod, diagnostics);
  checkForeignMounts(pod, diagnostics);
  const mountPath = settings['mount-path'].value;
  checkMounts({ pod, consumers, mountPath, prefix }, diagnostics);
  const { files } = resolved;
  checkModes({ pod, settings, files, consumers, prefix, owner: DRIVER }, diagnostics);
  const variables = cloudVariables(resolved);
  checkVariables(consumers, variables, diagnostics);
  const addition: Addition = {
    prefix,
    own: undefined,
    position: 0,
    volumes: [csiVolume(installation.csi.driverName, attributes)],
    consumers: new Set(consumers.map(({ name }) => name)),
    mountPath,
    references: [],
    variables,
    signalled: new Set(),
    exclusion: NO_EXCLUSION,
  };
  const { problems, warnings, isForbidden, isClean } = diagnostics;
  const canBePlanned = isClean && volume.kind === 'planned';
  return {
    planned: canBePlanned ? { addition, config: volume.document } : undefined,
    problems: dedupe(problems),
    warnings,
    isForbidden,
  };
}

function volumeOf(input: PlanInput, attributes: Annotations): PlannedVolume | VolumeRefusal {
  const { pod, namespace } = input;
  return planVolume({
    ...input,
    attributes,
    pod: { namespace, serviceAccount: serviceAccountOf(pod) },
    hasGroup: typeof pod.spec.securityContext?.fsGroup === 'number',
  });
}

/**
 * The pod's own settings, by annotation name without prefix and in order. The driver adds the defaults of namespace and
 * installation, so that they are current when it creates the volume.
 */
function attributesOf({ pod, settings: resolved, installation }: PlanInput): Annotations {
  const prefix = installation.annotationPrefix;
  // The driver does not see mounts; only this file says where others are.
  const saysWhere = gcpCredentialFile(resolved.settings, resolved.files) !== undefined;
  const names = Object.entries(pod.metadata.annotations ?? {}).flatMap(
    ([key, text]): [string, string][] => {
      if (!key.startsWith(`${prefix}/`)) return [];
      const name = key.slice(prefix.length + 1);
      return isAttribute(name) && (name !== 'mount-path' || saysWhere) ? [[name, text]] : [];
    },
  );
  return Object.fromEntries(names.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isAttribute(name: string): boolean {
  const { kind } = classify(name);
  if (kind !== 'setting' && kind !== 'file' && kind !== 'variable') return false;
  return name !== 'mode' && !Object.hasOwn(NOT_IN_VOLUME, name);
}

function csiVolume(driver: string, attributes: Annotations): Named {
  const hasAny = Object.keys(attributes).length > 0;
  const volumeAttributes = { ...attributes };
  return {
    name: VOLUME.secrets,
    csi: { driver, readOnly: true, ...(hasAny && { volumeAttributes }) },
  };
}

/** Warnings about settings that have no effect without an agent in the pod. */
function warningsOf({ settings: { settings }, installation }: PlanInput): string[] {
  const prefix = installation.annotationPrefix;
  const warnings = Object.entries(IGNORED_IN_CSI).flatMap(([name, reason]) =>
    isSettingName(name) && settings[name].source === 'pod'
      ? [`${prefix}/${name} has no effect in mode csi: ${reason}`]
      : [],
  );
  const { source } = settings['on-change'];
  if (source === 'namespace' || source === 'installation') {
    const reason = 'no agent runs in the pod to notify the application';
    warnings.push(`${prefix}/on-change of the ${source} has no effect in mode csi: ${reason}`);
  }
  return warnings;
}

/** The annotations are checked twice: as those of the pod, and as attributes of the volume. */
function dedupe(problems: readonly Problem[]): readonly Problem[] {
  const byText = new Map(problems.map((one) => [`${one.path}: ${one.message}`, one]));
  return [...byText.values()];
}
