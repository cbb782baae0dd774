/**
 * The modes `native`, `pair` and `init`: an agent in the pod. Collects every reason against it.
 */
import type { RawAgentConfig } from '../config/agent/index.ts';
import type { Grants, Problem } from '../core/index.ts';
import type { Addition } from './assemble.ts';
import { azureVariables } from './azure.ts';
import { ownContainers, ownVolumes } from './containers.ts';
import { checkContents, isTooLarge } from './file-checks.ts';
import { agentDocument, needsOf } from './build-document.ts';
import { documentGrants } from './grants.ts';
import type { InjectionPlan, PlanInput } from './injection-types.ts';
import { CONTAINER_VARIABLE } from './names.ts';
import { levelProblems } from './levels.ts';
import {
  checkForeignMounts,
  checkMounts,
  checkNames,
  checkPlatform,
  checkVariables,
} from './pod-checks.ts';
import type { Container, Pod } from './pod.ts';
import { decideByPolicies, serviceAccountOf } from './policy.ts';
import { selectContainers, runningContainers } from './container-selection.ts';
import { agentUser, defaultFileMode } from './user.ts';

/** Termination grace period of a pod: 30 s by default, as in the API server, and at most a day. */
function graceSecondsOf({ spec: { terminationGracePeriodSeconds } }: Pod): number {
  if (typeof terminationGracePeriodSeconds !== 'number') return 30;
  return Math.min(terminationGracePeriodSeconds, 24 * 60 * 60);
}

/** Plans the agent of a pod. */
export function planAgent(input: PlanInput): InjectionPlan {
  const { pod, settings: resolved, installation } = input;
  const { settings, files } = resolved;
  const prefix = installation.annotationPrefix;
  const problems: Problem[] = [...resolved.problems];
  const warnings: string[] = [];
  checkPlatform(pod, problems);
  const mode = modeOf(input, problems, warnings);
  const targets = selectContainers({ pod, settings, files, prefix }, problems);
  const forbidden: Problem[] = [...levelProblems(resolved, installation)];
  const needs = needsOf(resolved, installation, { problems, forbidden });
  const who = {
    pod,
    settings,
    files,
    installation,
    consumers: targets.consumers,
    targets: targets.signalled,
  };
  const user = agentUser(who, problems);
  const hostNetwork = pod.spec.hostNetwork === true;
  const port = settings.port.value;
  const document = agentDocument(resolved, needs, {
    mode,
    fileMode: defaultFileMode(who, user),
    listen: hostNetwork ? `127.0.0.1:${port}` : `:${port}`,
    socket: installation.spiffe.socket,
    graceSeconds: graceSecondsOf(pod),
    maxRenderBytes: installation.agent.maxRenderBytes,
  });
  const variables = azureVariables(resolved);
  checkNames(pod, problems);
  checkForeignMounts(pod, problems);
  checkMounts(targets.consumers, settings['mount-path'].value, prefix, problems);
  checkPort(pod, port, prefix, problems);
  checkSignalled(targets.signalled, problems);
  checkVariables(targets.consumers, variables, warnings);
  const remedy = (name: string): string =>
    `put the template into a ConfigMap and set ${prefix}/template-from-${name}`;
  const literals = checkContents({ ...input, config: document, remedy }, problems);
  const asked = { ...input, serviceAccount: serviceAccountOf(pod), literals };
  const decision = decideByPolicies({ ...asked, usesVault: needs.vault !== undefined });
  forbidden.push(...decision.problems);
  const config = withGrants(document, decision.grants);
  if (isTooLarge(config) && !isTooLarge(document)) {
    const message = `the policies for this pod do not fit into the agent's configuration: they must have fewer paths`;
    forbidden.push({ path: `${prefix}/inject`, message });
  }
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
    planned: problems.length + forbidden.length > 0 ? undefined : { addition, config },
    problems: [...problems, ...forbidden],
    warnings,
    isForbidden: forbidden.length > 0,
  };
}

/** The agent enforces the policies only as a guard rail; in the CSI driver they are a boundary. */
function withGrants(document: RawAgentConfig, grants: Grants | undefined): RawAgentConfig {
  const written = grants === undefined ? undefined : documentGrants(grants);
  return written === undefined ? document : { ...document, grants: written };
}

/** Native sidecars require Kubernetes 1.29. */
function modeOf(
  { pod, settings, installation, kubeVersion }: PlanInput,
  problems: Problem[],
  warnings: string[],
): 'native' | 'pair' | 'init' {
  const asked = settings.settings.mode;
  const path = `${installation.annotationPrefix}/mode`;
  const isOld = kubeVersion !== undefined && isBefore(kubeVersion, 29);
  if (asked.value === 'native' && isOld) {
    const message = `native requires Kubernetes 1.29, and this is ${kubeVersion}`;
    if (asked.source === 'pod')
      problems.push({ path, message: `${message}: set pair, or remove the annotation` });
    else warnings.push(`${path} of the ${asked.source}: ${message}; pair is used`);
  }
  const mode =
    asked.value === 'pair' || asked.value === 'init' ? asked.value : isOld ? 'pair' : 'native';
  if (mode === 'pair' && runsToCompletion(pod)) {
    warnings.push(
      `${path} pair keeps the pod of a Job running: set init, or native on Kubernetes 1.29`,
    );
  }
  return mode;
}

/** True for pods of Jobs, which do not complete while an ordinary sidecar runs. */
function runsToCompletion({ metadata, spec }: Pod): boolean {
  const isJob = metadata.ownerReferences?.some(({ kind }) => kind === 'Job') ?? false;
  return isJob || (spec.restartPolicy ?? 'Always') !== 'Always';
}

function isBefore(version: string, minor: number): boolean {
  const [, major, found] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  return major !== undefined && Number(major) === 1 && Number(found) < minor;
}

function checkPort(pod: Pod, port: number, prefix: string, problems: Problem[]): void {
  const taken = runningContainers(pod).find((one) =>
    one.ports?.some(({ containerPort }) => containerPort === port),
  );
  if (taken === undefined) return;
  const message = `container "${taken.name}" already uses port ${port}: set another one`;
  problems.push({ path: `${prefix}/port`, message });
}

/** Reports signalled containers that set the variable by which they are found. */
function checkSignalled(containers: readonly Container[], problems: Problem[]): void {
  for (const { name, env } of containers) {
    if (env?.some((one) => one.name === CONTAINER_VARIABLE) !== true) continue;
    const message = `container "${name}" sets ${CONTAINER_VARIABLE}, which is reserved for Vouchsafe`;
    problems.push({ path: 'spec.containers', message });
  }
}
