/**
 * Pods that run only on nodes where the agent's image cannot run: on Windows, or on another architecture. A pod may say
 * so in several fields; one that leaves the node open is injected.
 */
import { fieldsOf } from '../core/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import { requiredTerms, selectedLabels, type Requirement } from './node-requirements.ts';
import type { Pod } from './pod.ts';

/** What the agent's image, or the driver of the node, supports. */
export interface SupportedPlatforms {
  /** As in the label `kubernetes.io/arch`; undefined if it is not known. */
  readonly architectures: readonly string[] | undefined;
}

/** A requirement on nodes that the supported ones do not meet. */
interface Mismatch {
  /** The field of the pod. */
  readonly path: string;
  readonly kind: 'os' | 'architecture';
}

/** Reports pods for Windows, or for another platform than those of the agent. */
export function checkPlatform(
  pod: Pod,
  { architectures }: SupportedPlatforms,
  diagnostics: Diagnostics,
): void {
  const found = osMismatch(pod) ?? nodeMismatch(pod, architectures);
  if (found === undefined) return;
  const { path, kind } = found;
  const message =
    kind === 'os'
      ? 'the pod is for nodes of another operating system than Linux: Windows pods cannot be injected'
      : `the pod is for nodes of another architecture than ${(architectures ?? []).join(', ')}, for which the agent's image is built (agent.architectures)`;
  diagnostics.invalid({ path, message });
}

/** The operating system that the pod itself declares. */
function osMismatch({ spec }: Pod): Mismatch | undefined {
  const name = spec.os?.name;
  if (name === 'linux') return undefined; // the API server rejects fields for Windows beside it
  if (typeof name === 'string' && name !== '') return { path: 'spec.os.name', kind: 'os' };
  if (OS_LABELS.some((label) => spec.nodeSelector?.[label] === 'linux')) return undefined;
  const path = windowsOptionsOf(spec) ?? windowsRuntimeOf(spec);
  return path === undefined ? undefined : { path, kind: 'os' };
}

/** Options that only Windows has. */
function windowsOptionsOf(spec: Pod['spec']): string | undefined {
  const field = 'securityContext.windowsOptions';
  const isSet = (context: unknown): boolean =>
    Object.keys(fieldsOf(fieldsOf(context)['windowsOptions'])).length > 0;
  if (isSet(spec.securityContext)) return `spec.${field}`;
  for (const list of ['containers', 'initContainers'] as const) {
    const found = spec[list]?.find(({ securityContext }) => isSet(securityContext));
    if (found !== undefined) return `spec.${list}[${found.name}].${field}`;
  }
  return undefined;
}

/**
 * A RuntimeClass adds its node selector before the webhook is called, but manifests do not have it yet: there only the
 * name shows it, such as `windows-2022` or containerd's `runhcs-wcow-process`.
 */
function windowsRuntimeOf({ runtimeClassName }: Pod['spec']): string | undefined {
  const isWindows =
    typeof runtimeClassName === 'string' && /(^|[-.])(windows|wcow)/.test(runtimeClassName);
  return isWindows ? 'spec.runtimeClassName' : undefined;
}

const OS_LABELS = ['kubernetes.io/os', 'beta.kubernetes.io/os'];
const ARCH_LABELS = ['kubernetes.io/arch', 'beta.kubernetes.io/arch'];
/** Labels of distributions: on Windows nodes their values have this prefix. */
const DISTRIBUTION_LABELS = ['kubernetes.azure.com/os-sku', 'cloud.google.com/gke-os-distribution'];
const WINDOWS_PREFIX = /^windows/i;
/** A label that only Windows nodes have. */
const WINDOWS_BUILD = 'node.kubernetes.io/windows-build';

/** By node selector and required node affinity. Preferences, tolerations and node names prove nothing. */
function nodeMismatch(
  pod: Pod,
  architectures: readonly string[] | undefined,
): Mismatch | undefined {
  const selected = selectedLabels(pod);
  for (const requirement of selected) {
    const kind = kindOfMismatch([requirement], architectures);
    if (kind !== undefined) return { path: `spec.nodeSelector["${requirement.label}"]`, kind };
  }
  const kinds = (requiredTerms(pod) ?? []).map(({ labels }) =>
    kindOfMismatch([...selected, ...labels], architectures),
  );
  if (kinds.length === 0 || kinds.includes(undefined)) return undefined;
  const path =
    'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';
  return { path, kind: kinds.includes('architecture') ? 'architecture' : 'os' };
}

/** Undefined if some supported node can meet all requirements. */
function kindOfMismatch(
  requirements: readonly Requirement[],
  architectures: readonly string[] | undefined,
): Mismatch['kind'] | undefined {
  const isLinux = hasChoice(requirements, OS_LABELS, ['linux']);
  if (!isLinux || requirements.some(isOfWindows)) return 'os';
  if (architectures === undefined) return undefined;
  return hasChoice(requirements, ARCH_LABELS, architectures) ? undefined : 'architecture';
}

/** Whether one of the supported values meets every requirement on these labels, which every kubelet sets. */
function hasChoice(
  requirements: readonly Requirement[],
  labels: readonly string[],
  supported: readonly string[],
): boolean {
  const own = requirements.filter(({ label }) => labels.includes(label));
  return supported.some((one) =>
    own.every(({ operator, values }) => {
      if (operator === 'In') return values.includes(one);
      return operator !== 'NotIn' || !values.includes(one);
    }),
  );
}

/** Requirements that only Windows nodes meet, on other labels than that of the operating system. */
function isOfWindows({ label, operator, values }: Requirement): boolean {
  if (label === WINDOWS_BUILD) return operator !== 'NotIn' && operator !== 'DoesNotExist';
  const isSku = DISTRIBUTION_LABELS.includes(label) && operator === 'In' && values.length > 0;
  return isSku && values.every((value) => WINDOWS_PREFIX.test(value));
}
