/**
 * The modes `native`, `pair` and `init`: an agent in the pod. Collects every reason against it.
 */
import type { RawAgentConfig } from '../config/agent/index.ts';
import type { ResolvedSettings } from '../config/annotations/index.ts';
import type { StartGateKind } from '../config/schema/index.ts';
import { isBefore, type Grants } from '../core/index.ts';
import { agentResources, type Resources } from './agent-resources.ts';
import type { Addition } from './assemble.ts';
import { cloudVariables } from './clouds.ts';
import { ownContainers, ownVolumes } from './containers.ts';
import { checkModes, keyModeOf, type FileOwner } from './file-access.ts';
import { checkContents, isTooLarge } from './file-checks.ts';
import { agentDocument, needsOf, type Needs } from './build-document.ts';
import { Diagnostics } from './diagnostics.ts';
import { documentGrants } from './grants.ts';
import type { InjectionPlan, PlanInput } from './injection-types.ts';
import { excludePort, lateExclusions, NO_EXCLUSION, type ExclusionInput } from './meshes.ts';
import { CONTAINER_VARIABLE } from './names.ts';
import { checkTrustBundle } from './kubernetes-version.ts';
import { levelProblems } from './levels.ts';
import { checkMounts } from './mount-checks.ts';
import { checkPlatform, type SupportedPlatforms } from './platform.ts';
import { checkForeignMounts, checkNames, checkVariables } from './pod-checks.ts';
import type { Container, Pod } from './pod.ts';
import { decideByPolicies, serviceAccountOf, type PolicyDecision } from './policy.ts';
import {
  runningContainers,
  selectContainers,
  type ContainerSelection,
} from './container-selection.ts';
import { startGateOf } from './start-gate.ts';
import { agentUser, defaultFileMode, type AgentUser } from './user.ts';
import { checkEnvironment, referencesTo, restartedContainers } from './variables.ts';

/** Termination grace period of a pod: 30 s by default, as in the API server, and at most a day. */
function graceSecondsOf({ spec: { terminationGracePeriodSeconds } }: Pod): number {
  if (typeof terminationGracePeriodSeconds !== 'number') return 30;
  return Math.min(terminationGracePeriodSeconds, 24 * 60 * 60);
}

/** Plans the agent of a pod: decides what it gets, checks that against the pod and the installation, and builds it. */
export function planAgent(input: PlanInput): InjectionPlan {
  const diagnostics = new Diagnostics();
  diagnostics.invalid(...input.settings.problems);
  const decision = decide(input, diagnostics);
  const config = check(input, decision, diagnostics);
  const { problems, warnings, isForbidden, isClean } = diagnostics;
  const planned = isClean ? { addition: build(input, decision, config), config } : undefined;
  return { planned, problems, warnings, isForbidden };
}

/** What the settings select for a pod; with problems, a default takes the place of what cannot be decided. */
interface Decision {
  readonly mode: 'native' | 'pair' | 'init';
  readonly selection: ContainerSelection;
  /** Containers that the agent signals or restarts, because of files or of variables. */
  readonly signalled: readonly Container[];
  readonly needs: Needs;
  readonly user: AgentUser;
  readonly resources: Resources;
  /** True if the pod uses the host network. */
  readonly hostNetwork: boolean;
  /** What holds the other containers back in mode native. */
  readonly startGate: StartGateKind;
  /** Environment variables for the containers that see the files. */
  readonly variables: Readonly<Record<string, string>>;
  /** The agent's configuration, without what the policies grant. */
  readonly document: RawAgentConfig;
}

function decide(input: PlanInput, diagnostics: Diagnostics): Decision {
  const { pod, settings: resolved, installation } = input;
  const { settings, files } = resolved;
  const prefix = installation.annotationPrefix;
  const mode = modeOf(input, diagnostics);
  const selection = selectContainers({ pod, settings, files, prefix }, diagnostics);
  const needs = needsOf(resolved, installation, diagnostics);
  const { consumers } = selection;
  const restarted = restartedContainers({ ...input, ...selection, mode }, diagnostics);
  const signalled = [...new Set([...selection.signalled, ...restarted])];
  const signalledBy = selection.signalled.length > 0 ? 'on-change' : 'env-on-change';
  const common = { pod, settings, files, installation, consumers };
  const who = { ...common, targets: signalled, signalledBy } as const;
  const user = agentUser(who, diagnostics);
  const { position } = selection;
  const resources = agentResources({ pod, settings, prefix, mode, position }, diagnostics);
  const hostNetwork = pod.spec.hostNetwork === true;
  const port = settings.port.value;
  const { kubeVersion } = input;
  const startGate = startGateOf(settings, { kubeVersion, needsSvid: needs.spiffe });
  const access = { pod, settings, files, consumers, prefix, owner: ownerOf(pod, user) };
  checkModes(access, diagnostics);
  const document = agentDocument(resolved, needs, {
    mode,
    fileMode: defaultFileMode(who, user),
    keyMode: keyModeOf(access),
    listen: hostNetwork ? `127.0.0.1:${port}` : `:${port}`,
    socket: installation.spiffe.socket,
    startGate: mode === 'native' ? startGate : undefined,
    graceSeconds: graceSecondsOf(pod),
    maxRenderBytes: installation.agent.maxRenderBytes,
    restarted: [...namesOf(restarted)],
  });
  const variables = cloudVariables(resolved);
  const chosen = { mode, selection, signalled, needs, user, resources };
  return { ...chosen, hostNetwork, startGate, variables, document };
}

const UNKNOWN: SupportedPlatforms = { architectures: undefined };

/** The group of a file is the fsGroup or, without one, that of the agent. */
function ownerOf({ spec }: Pod, { user, group }: AgentUser): FileOwner {
  return { user, group: group ?? spec.securityContext?.runAsGroup ?? undefined, name: 'the agent' };
}

/** Reports everything against the decision. Returns the agent's configuration, with what the policies grant. */
function check(input: PlanInput, decision: Decision, diagnostics: Diagnostics): RawAgentConfig {
  const { pod, settings: resolved, installation } = input;
  const { selection, signalled, needs, variables, document } = decision;
  const { consumers } = selection;
  const { settings } = resolved;
  const prefix = installation.annotationPrefix;
  // What an image of the pod's own choice is built for is not known.
  const { architectures } = settings.image.value === undefined ? installation.agent : UNKNOWN;
  checkPlatform(pod, { architectures }, diagnostics);
  checkTrustBundle(input, needs, diagnostics);
  checkNames(pod, diagnostics);
  checkForeignMounts(pod, diagnostics);
  const mountPath = mountPathOf(resolved);
  if (mountPath !== undefined) checkMounts({ pod, consumers, mountPath, prefix }, diagnostics);
  checkEnvironment({ ...input, consumers, others: variables }, diagnostics);
  checkPort(pod, settings.port.value, prefix, diagnostics);
  if (listensForKubelet(decision) && decision.mode === 'native' && decision.startGate === 'probe')
    diagnostics.warn(...lateExclusions(exclusionInput(input)));
  checkSignalled(signalled, diagnostics);
  checkVariables(consumers, variables, diagnostics);
  const remedy = (name: string): string =>
    `put the template into a ConfigMap and set ${prefix}/template-from-${name}`;
  const literals = checkContents({ ...input, config: document, remedy }, diagnostics);
  diagnostics.forbid(...levelProblems(resolved, installation));
  const asked = { ...input, serviceAccount: serviceAccountOf(pod), literals };
  const policies = decideByPolicies({ ...asked, logins: needs.logins });
  diagnostics.forbid(...policies.problems);
  const config = withGrants(document, policies);
  if (isTooLarge(config) && !isTooLarge(document)) {
    const message = `the policies for this pod do not fit into the agent's configuration: they must have fewer paths`;
    diagnostics.forbid({ path: `${prefix}/inject`, message });
  }
  return config;
}

function build(input: PlanInput, decision: Decision, config: RawAgentConfig): Addition {
  const { pod, settings: resolved, installation } = input;
  const { settings, files } = resolved;
  const { selection, signalled, variables } = decision;
  const { variables: requested } = resolved;
  const parts = { ...decision, pod, config, settings, files, requested, installation };
  return {
    prefix: installation.annotationPrefix,
    own: ownContainers(parts),
    position: selection.position,
    volumes: ownVolumes(parts),
    consumers: namesOf(selection.consumers),
    mountPath: mountPathOf(resolved),
    references: referencesTo(resolved.variables),
    variables,
    signalled: namesOf(signalled),
    exclusion: listensForKubelet(decision) ? excludePort(exclusionInput(input)) : NO_EXCLUSION,
  };
}

/** Where the containers see the files; undefined if the pod requests only variables. */
function mountPathOf({ settings, files, variables }: ResolvedSettings): string | undefined {
  const hasFiles = files.length > 0 || settings['x509-svid'].value;
  return hasFiles || variables.length === 0 ? settings['mount-path'].value : undefined;
}

/** True if the agent has a port that others call through the network of the pod. */
function listensForKubelet({ mode, hostNetwork }: Decision): boolean {
  return mode !== 'init' && !hostNetwork;
}

function exclusionInput({ pod, namespaceAnnotations, settings }: PlanInput): ExclusionInput {
  return { pod, namespaceAnnotations, port: settings.settings.port.value };
}

function namesOf(containers: readonly Container[]): ReadonlySet<string> {
  return new Set(containers.map(({ name }) => name));
}

/** The agent enforces the policies only as a guard rail; in the CSI driver they are a boundary. */
function withGrants(
  document: RawAgentConfig,
  { grants, named }: Pick<PolicyDecision, 'grants' | 'named'>,
): RawAgentConfig {
  const logins = document.logins?.map((login) => ({
    ...login,
    ...grantsField(named.get(login.name)),
  }));
  return { ...document, ...(logins !== undefined && { logins }), ...grantsField(grants) };
}

function grantsField(grants: Grants | undefined): Pick<RawAgentConfig, 'grants'> {
  const written = grants === undefined ? undefined : documentGrants(grants);
  return written === undefined ? {} : { grants: written };
}

/** Native sidecars require Kubernetes 1.29. */
function modeOf(
  { pod, settings, installation, kubeVersion }: PlanInput,
  diagnostics: Diagnostics,
): 'native' | 'pair' | 'init' {
  const asked = settings.settings.mode;
  const path = `${installation.annotationPrefix}/mode`;
  const isOld = kubeVersion !== undefined && isBefore(kubeVersion, 29);
  if (asked.value === 'native' && isOld) {
    const message = `native requires Kubernetes 1.29, and this is ${kubeVersion}`;
    if (asked.source === 'pod')
      diagnostics.invalid({ path, message: `${message}: set pair, or remove the annotation` });
    else diagnostics.warn(`${path} of the ${asked.source}: ${message}; pair is used`);
  }
  const mode =
    asked.value === 'pair' || asked.value === 'init' ? asked.value : isOld ? 'pair' : 'native';
  if (mode === 'pair' && runsToCompletion(pod)) {
    diagnostics.warn(
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

function checkPort(pod: Pod, port: number, prefix: string, diagnostics: Diagnostics): void {
  const taken = runningContainers(pod).find((one) =>
    one.ports?.some(({ containerPort }) => containerPort === port),
  );
  if (taken === undefined) return;
  const message = `container "${taken.name}" already uses port ${port}: set another one`;
  diagnostics.invalid({ path: `${prefix}/port`, message });
}

/** Reports signalled containers that set the variable by which they are found. */
function checkSignalled(containers: readonly Container[], diagnostics: Diagnostics): void {
  for (const { name, env } of containers) {
    if (env?.some((one) => one.name === CONTAINER_VARIABLE) !== true) continue;
    const message = `container "${name}" sets ${CONTAINER_VARIABLE}, which is reserved for Vouchsafe`;
    diagnostics.invalid({ path: 'spec.containers', message });
  }
}
