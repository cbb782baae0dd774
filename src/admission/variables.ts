/**
 * Secrets in environment variables: whether a pod can have them, and which containers restart when they change.
 *
 * @see https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/
 */
import { MAX_VARIABLES } from '../config/agent/index.ts';
import type { VariableSettings } from '../config/annotations/index.ts';
import { DEFAULTS } from '../config/schema/index.ts';
import { ENV_FILES_MINOR, isBefore, listUpTo } from '../core/index.ts';
import { checkSharedProcesses, runningContainers } from './container-selection.ts';
import { Diagnostics } from './diagnostics.ts';
import type { PlanInput } from './injection-types.ts';
import { VOLUME } from './names.ts';
import { mayRunOn } from './node-requirements.ts';
import type { Container, EnvVar } from './pod.ts';
import { checkRestart } from './restart-policy.ts';
import { checkSignalUser, type UserInput } from './user.ts';

/** More nodes or containers are not named in a message. */
const MAX_NAMED = 3;

/** The annotation of a variable that has its content, without the prefix. */
export function annotationOf({ name, 'env-template': template }: VariableSettings): string {
  return template === undefined ? `env-${name}` : `env-template-${name}`;
}

/** The references in a container that sees the variables, that to their version first: it is never newer than a value. */
export function referencesTo(variables: readonly VariableSettings[]): readonly EnvVar[] {
  if (variables.length === 0) return [];
  return [
    reference(DEFAULTS.ENV_VERSION, false),
    ...variables.map((one) => reference(one.name, one['env-optional']?.value === true)),
  ];
}

/** `optional` is written even if it is false, as the API server does. */
function reference(name: string, optional: boolean): EnvVar {
  const fileKeyRef = { volumeName: VOLUME.env, path: name, key: name, optional };
  return { name, valueFrom: { fileKeyRef } };
}

/** Input of {@link checkEnvironment}. */
export interface VariablesInput extends PlanInput {
  /** Containers that see the variables. */
  readonly consumers: readonly Container[];
  /** Other variables that are added to them. */
  readonly others: Readonly<Record<string, string>>;
}

/** Reports every reason why the pod cannot have its variables. */
export function checkEnvironment(input: VariablesInput, diagnostics: Diagnostics): void {
  const { settings, installation } = input;
  const { variables } = settings;
  const [first] = variables;
  if (first === undefined) return;
  const path = `${installation.annotationPrefix}/${annotationOf(first)}`;
  if (variables.length > MAX_VARIABLES) {
    const message = `${variables.length} variables are requested; the maximum is ${MAX_VARIABLES}`;
    diagnostics.invalid({ path, message });
  }
  const message = clusterProblem(input);
  if (message !== undefined) diagnostics.invalid({ path, message });
  for (const variable of variables) checkConflicts(variable, input, diagnostics);
}

/** Why this cluster, or a node on which the pod may run, has no variables from files. */
function clusterProblem(input: VariablesInput): string | undefined {
  const { pod, installation, kubeVersion, oldNodes } = input;
  if (!installation.env.enabled) {
    return 'this installation has no variables (env.enabled): read a file instead';
  }
  if (kubeVersion !== undefined && isBefore(kubeVersion, ENV_FILES_MINOR)) {
    return `requires Kubernetes 1.${ENV_FILES_MINOR}, and the API server is ${kubeVersion}: read a file instead`;
  }
  if (oldNodes === undefined) return undefined;
  if (oldNodes === 'unknown') return 'the nodes cannot be listed at the moment, try again';
  const found = oldNodes.filter((node) => isOfLinux(node.labels) && mayRunOn(pod, node));
  if (found.length === 0) return undefined;
  const names = found.map(({ name, version }) => `${name} (${version})`);
  return `the pod may be scheduled to ${listUpTo(names, MAX_NAMED)}, whose kubelet is older than 1.${ENV_FILES_MINOR} and would start it without its variables: set a nodeSelector or a required node affinity that excludes such nodes`;
}

/** Pods for Windows are denied before; others do not run there. */
function isOfLinux(labels: Readonly<Record<string, string>>): boolean {
  return (labels['kubernetes.io/os'] ?? 'linux') === 'linux';
}

/** Reports containers that have the variable already: one of the two values would be used without a word. */
function checkConflicts(
  variable: VariableSettings,
  { consumers, others, installation }: VariablesInput,
  diagnostics: Diagnostics,
): void {
  const { name } = variable;
  const path = `${installation.annotationPrefix}/${annotationOf(variable)}`;
  const taken = consumers.filter(({ env }) => env?.some((one) => one.name === name) === true);
  for (const container of taken.slice(0, MAX_NAMED)) {
    const message = `container "${container.name}" sets ${name} itself: remove it there, or this annotation`;
    diagnostics.invalid({ path, message });
  }
  if (Object.hasOwn(others, name)) {
    const message = `conflicts with the annotations for a cloud, which set ${name}`;
    diagnostics.invalid({ path, message });
  }
}

/** Input of {@link restartedContainers}. */
export interface RestartInput extends PlanInput {
  readonly mode: 'native' | 'pair' | 'init';
  readonly consumers: readonly Container[];
  /** Containers that are signalled for another reason. */
  readonly signalled: readonly Container[];
}

/**
 * The containers that the agent restarts when their variables change. A pod that requests restarts must allow them; if they are
 * only the default, the pod keeps its variables without them, and a warning has the reason.
 */
export function restartedContainers(
  input: RestartInput,
  diagnostics: Diagnostics,
): readonly Container[] {
  const { pod, settings: resolved, mode, consumers, installation } = input;
  const setting = resolved.settings['env-on-change'];
  if (resolved.variables.length === 0 || mode === 'init' || setting.value === 'none') return [];
  const targets = runningContainers(pod).filter((one) => consumers.includes(one));
  if (targets.length === 0) return [];
  const path = `${installation.annotationPrefix}/env-on-change`;
  const [ofPod, ofUser] = [new Diagnostics(), new Diagnostics()];
  for (const container of targets) checkRestart(pod, container, path, ofPod);
  checkSharedProcesses(pod, path, ofPod);
  checkSignalUser(userInput(input, targets), ofUser);
  const isRequested = setting.value === 'restart' && setting.source === 'pod';
  if (isRequested) {
    // What is against its user is reported where that is chosen.
    diagnostics.invalid(...ofPod.problems);
    diagnostics.warn(...ofPod.warnings);
    return targets;
  }
  const [obstacle] = [...ofPod.problems, ...ofUser.problems];
  if (obstacle !== undefined) {
    diagnostics.warn(
      `${path}: containers keep the variables that they started with, because they cannot be restarted: ${obstacle.message}`,
    );
    return [];
  }
  diagnostics.warn(...ofPod.warnings);
  if (pod.spec.shareProcessNamespace !== true) {
    diagnostics.warn(
      `${path}: the pod gets shareProcessNamespace, so that the agent can restart containers when a value that ends is replaced; set none if it must not`,
    );
  }
  return targets;
}

function userInput(
  { pod, settings: { settings, files }, installation, consumers, signalled }: RestartInput,
  targets: readonly Container[],
): UserInput {
  const all = [...new Set([...signalled, ...targets])];
  const signalledBy = 'env-on-change';
  return { pod, settings, files, installation, consumers, targets: all, signalledBy };
}
