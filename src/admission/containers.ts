/**
 * The agent's containers and volumes that are added to a pod.
 */
import type { RawAgentConfig } from '../config/agent/index.ts';
import type { FileSettings, Settings, VariableSettings } from '../config/annotations/index.ts';
import type { Installation, VaultConnection } from '../config/installation/index.ts';
import type { StartGateKind } from '../config/schema/index.ts';
import type { Resources } from './agent-resources.ts';
import { configText } from './file-checks.ts';
import type { Needs } from './build-document.ts';
import {
  AGENT_CONTAINER,
  caDirectory,
  caVolume,
  CONFIG_VARIABLE,
  DIRECTORY,
  INIT_CONTAINER,
  templatesVolume,
  VOLUME,
} from './names.ts';
import type { Container, EnvVar, Named, Pod, VolumeMount } from './pod.ts';
import { startGateFields } from './start-gate.ts';
import type { AgentUser } from './user.ts';

/** Input of {@link ownContainers} and {@link ownVolumes}. */
export interface ContainerInput {
  /** The pod without the injection. */
  readonly pod: Pod;
  readonly config: RawAgentConfig;
  readonly settings: Settings;
  readonly files: readonly FileSettings[];
  /** Variables that the kubelet reads from files of the agent. */
  readonly requested: readonly VariableSettings[];
  readonly needs: Needs;
  readonly user: AgentUser;
  readonly resources: Resources;
  readonly installation: Installation;
  readonly mode: 'native' | 'pair' | 'init';
  /** What holds the other containers back in mode native. */
  readonly startGate: StartGateKind;
  /** True if the pod uses the host network, on which the agent listens only on loopback. */
  readonly hostNetwork: boolean;
}

/** The agent's containers, by the list of the pod that they are added to. */
export interface OwnContainers {
  readonly init: Container;
  readonly sidecar: Container | undefined;
}

/** The containers of a mode. */
export function ownContainers(input: ContainerInput): OwnContainers {
  const common = commonParts(input);
  const once = { name: INIT_CONTAINER, ...common, args: ['agent', '--once'] };
  const agent = { name: AGENT_CONTAINER, ...common, args: ['agent'], ...listening(input) };
  switch (input.mode) {
    case 'native':
      return {
        init: { ...agent, restartPolicy: 'Always', ...startGateFields(input) },
        sidecar: undefined,
      };
    case 'pair':
      return { init: once, sidecar: agent };
    case 'init':
      return { init: once, sidecar: undefined };
  }
}

/** The volumes that the agent's containers mount; the one with the files is first. */
export function ownVolumes(input: ContainerInput): readonly Named[] {
  return ownMounts(input).map(({ volume }) => volume);
}

function commonParts(input: ContainerInput): Omit<Container, 'name'> {
  const { settings, installation, resources } = input;
  return {
    image: settings.image.value ?? installation.agent.image,
    imagePullPolicy: installation.agent.imagePullPolicy,
    env: environment(input),
    volumeMounts: ownMounts(input).map(({ mount }) => mount),
    resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      ...(input.user.user !== undefined && { runAsUser: input.user.user }),
      ...(input.user.group !== undefined && { runAsGroup: input.user.group }),
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
}

function environment({ config, needs, installation }: ContainerInput): EnvVar[] {
  const fields = {
    POD_NAME: 'metadata.name',
    POD_NAMESPACE: 'metadata.namespace',
    POD_UID: 'metadata.uid',
    NODE_NAME: 'spec.nodeName',
    SERVICE_ACCOUNT: 'spec.serviceAccountName',
    HOST_IP: 'status.hostIP',
  };
  return [
    { name: CONFIG_VARIABLE, value: configText(config) },
    ...Object.entries(fields).map(([name, fieldPath]) => ({
      name,
      valueFrom: { fieldRef: { fieldPath } },
    })),
    ...(needs.spiffe
      ? [{ name: 'SPIFFE_ENDPOINT_SOCKET', value: installation.spiffe.socket }]
      : []),
  ];
}

/**
 * The scheduler keeps two pods with the same declared port and the host network apart. There is no liveness probe:
 * strangers could make it fail, and the kubelet would kill a working agent. A stuck agent exits (src/platform/watchdog.ts).
 */
function listening({ settings }: ContainerInput): Record<string, unknown> {
  return { ports: [{ name: 'vouchsafe', containerPort: settings.port.value, protocol: 'TCP' }] };
}

interface OwnMount {
  readonly volume: Named;
  readonly mount: VolumeMount;
}

function ownMounts(input: ContainerInput): readonly OwnMount[] {
  const { mode, settings, needs, installation } = input;
  const size = settings['volume-size'].value;
  return [
    mounted({ name: VOLUME.secrets, emptyDir: memory(size) }, DIRECTORY.secrets, false),
    ...(mode === 'init'
      ? []
      : [mounted({ name: VOLUME.state, emptyDir: memory('8Mi') }, DIRECTORY.state, false)]),
    ...envMount(input),
    ...noApiTokenMount(input),
    ...spiffeMount(installation, needs),
    ...tokenMount(needs),
    ...caMounts(needs),
    ...templateMounts(input.files),
  ];
}

function mounted(volume: Named, mountPath: string, readOnly = true): OwnMount {
  return { volume, mount: { name: volume.name, mountPath, ...(readOnly && { readOnly }) } };
}

/** Every emptyDir is in memory: the cluster autoscaler does not remove a node whose pods have directories on its disk. */
function memory(sizeLimit: string): Record<string, string> {
  return { medium: 'Memory', sizeLimit };
}

/** Twice as many variables as fit into a process, because the next set is written beside the present one. */
const ENV_SIZE = '8Mi';

/** Only the agent mounts it: the kubelet reads it on the node. */
function envMount({ requested }: ContainerInput): OwnMount[] {
  if (requested.length === 0) return [];
  return [mounted({ name: VOLUME.env, emptyDir: memory(ENV_SIZE) }, DIRECTORY.env, false)];
}

function spiffeMount({ spiffe }: Installation, needs: Needs): OwnMount[] {
  if (!needs.spiffe || spiffe.volume === 'none') return [];
  const directory = spiffe.socket.slice('unix://'.length, spiffe.socket.lastIndexOf('/'));
  const source =
    spiffe.volume === 'csi'
      ? { csi: { driver: spiffe.csiDriver, readOnly: true } }
      : { hostPath: { path: spiffe.hostPath, type: 'Directory' } };
  return [mounted({ name: VOLUME.spiffe, ...source }, directory)];
}

function tokenMount(needs: Needs): OwnMount[] {
  if (needs.token === undefined) return [];
  const { audience } = needs.token;
  const serviceAccountToken = {
    ...(audience !== undefined && { audience }),
    expirationSeconds: 3600,
    path: 'token',
  };
  const volume = { name: VOLUME.token, projected: { sources: [{ serviceAccountToken }] } };
  return [mounted(volume, DIRECTORY.token)];
}

/**
 * An empty directory instead of a token for the API server, which the agent does not need. It also avoids a second
 * call of the webhook, because the API server's ServiceAccount plug-in then has nothing to change. Without the token in
 * the pod's own specification there is nothing to replace; what its service account sets is not visible here.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#serviceaccount
 */
function noApiTokenMount({ pod }: ContainerInput): OwnMount[] {
  if (pod.spec.automountServiceAccountToken === false) return [];
  return [mounted({ name: VOLUME.noApiToken, emptyDir: memory('64Ki') }, DIRECTORY.apiToken)];
}

/** The CA of each connection that has one in the cluster, once. */
function caMounts({ logins }: Needs): OwnMount[] {
  const connections = new Map(logins.map(({ index, connection }) => [index, connection]));
  return [...connections].flatMap(([index, connection]) => {
    const source = caSource(connection);
    return source === undefined
      ? []
      : [mounted({ name: caVolume(index), ...source }, caDirectory(index))];
  });
}

function caSource({
  caConfigMap,
  clusterTrustBundle: bundle,
}: VaultConnection): Readonly<Record<string, unknown>> | undefined {
  if (caConfigMap !== undefined) {
    const { name, key } = caConfigMap;
    return { configMap: { name, items: [{ key, path: key }] } };
  }
  if (bundle === undefined) return undefined;
  // Not optional: without the bundle the container does not start, and when it is deleted, the last one stays.
  const clusterTrustBundle = { ...bundle.source, path: bundle.file };
  return { projected: { sources: [{ clusterTrustBundle }] } };
}

function templateMounts(files: readonly FileSettings[]): OwnMount[] {
  const keys = new Map<string, Set<string>>();
  for (const ref of files.flatMap((file) => file['template-from']?.value ?? [])) {
    keys.set(ref.name, (keys.get(ref.name) ?? new Set()).add(ref.key));
  }
  const names = [...keys.keys()].sort();
  return names.map((name, index) => {
    const items = [...(keys.get(name) ?? [])].sort().map((key) => ({ key, path: key }));
    const volume = { name: templatesVolume(index), configMap: { name, items } };
    return mounted(volume, `${DIRECTORY.templates}/${name}`);
  });
}
