/**
 * Runs the injected containers of a pod as processes on this machine.
 */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { VouchsafeError } from '../../core/index.ts';
import {
  AGENT_CONTAINER,
  CONFIG_VARIABLE,
  DIRECTORY,
  INIT_CONTAINER,
  VOLUME,
  type Container,
  type Pod,
  type VolumeMount,
} from '../../admission/index.ts';
import {
  parseAgentConfigText,
  type AgentConfig,
  type RawAgentConfig,
} from '../../config/agent/index.ts';
import { finished, startAgentProcess, type AgentLine, type AgentProcess } from './agent-process.ts';
import type { Command } from './child-process.ts';
import { localConfig, type LocalPlaces } from './local-config.ts';
import { makeVolume, type ConfigMap, type Volume } from './volumes.ts';

export interface LocalPodOptions {
  readonly pod: Pod;
  readonly configMaps: readonly ConfigMap[];
  /** Private directory for volumes and logs. */
  readonly directory: string;
  /** Directory of the rendered volume. */
  readonly outputDirectory: string;
  /** Command of the agent; the container's arguments follow. */
  readonly command: Command;
  readonly places: Omit<LocalPlaces, 'mounts' | 'directories' | 'terminationLog'>;
  readonly serviceAccountToken: (audience: string) => Promise<string>;
  readonly onLine: (container: string, line: AgentLine) => void;
}

/** A pod whose injected containers run here. */
export interface LocalPod {
  /** The agent that keeps running; undefined if the mode has none. */
  readonly agent: AgentProcess | undefined;
  stop(): Promise<void>;
}

/** The first container with the agent. */
function injectedContainer(pod: Pod): Container {
  const container = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find(
    ({ name }) => name === AGENT_CONTAINER || name === INIT_CONTAINER,
  );
  if (container !== undefined) return container;
  if (isByDriver(pod)) {
    const text = 'the files of this pod come from the CSI driver of a node (mode csi)';
    throw new VouchsafeError('ERR_CONFIG_INVALID', `${text}: vouchsafe render --pod prints them`);
  }
  throw new VouchsafeError('ERR_BUG', 'the injected pod has no agent');
}

/** True if a volume of the CSI driver provides the files. */
function isByDriver({ spec }: Pod): boolean {
  return (spec.volumes ?? []).some(({ name, csi }) => name === VOLUME.secrets && csi !== undefined);
}

/** Adds a volume with the token that the kubelet would pass to the driver. */
export function withDriverParts(pod: Pod, { auth }: RawAgentConfig): Pod {
  if (!isByDriver(pod) || auth?.tokenFile === undefined) return pod;
  const serviceAccountToken = { audience: auth.audience, path: basename(auth.tokenFile) };
  const token = { name: VOLUME.token, projected: { sources: [{ serviceAccountToken }] } };
  return { ...pod, spec: { ...pod.spec, volumes: [...(pod.spec.volumes ?? []), token] } };
}

/** The mounts of the container, or of the driver, that renders the files. */
export function mountsOf(pod: Pod): readonly VolumeMount[] {
  if (!isByDriver(pod)) return injectedContainer(pod).volumeMounts ?? [];
  return [VOLUME.secrets, VOLUME.token].map((name) => ({
    name,
    mountPath: name === VOLUME.secrets ? DIRECTORY.secrets : DIRECTORY.token,
  }));
}

/** The AgentConfig in an injected container. */
function documentOf(container: Container): RawAgentConfig {
  const text = container.env?.find(({ name }) => name === CONFIG_VARIABLE)?.value ?? '{}';
  return JSON.parse(text) as RawAgentConfig; // written by the admission function
}

/** The parsed AgentConfig of an injected pod. */
export function injectedConfig(pod: Pod): Promise<AgentConfig> {
  return parseAgentConfigText(JSON.stringify(documentOf(injectedContainer(pod))));
}

/** Starts the injected containers in order; the init container runs to its end first. */
export async function startLocalPod(
  options: LocalPodOptions,
  signal: AbortSignal,
): Promise<LocalPod> {
  const { pod } = options;
  const directories = await makeVolumes(options);
  const start = (container: Container): AgentProcess =>
    startContainer(container, directories, options);
  const init = pod.spec.initContainers?.find(({ name }) => name === INIT_CONTAINER);
  if (init !== undefined) await runInit(start(init), signal);
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const container = all.find(({ name }) => name === AGENT_CONTAINER);
  const agent = container === undefined ? undefined : start(container);
  return { agent, stop: async () => agent?.stop() };
}

async function runInit(init: AgentProcess, signal: AbortSignal): Promise<void> {
  try {
    await finished(init, signal);
  } finally {
    await init.stop();
  }
}

/** Creates directories for the volumes that the injection added. */
export async function makeVolumes(
  options: Pick<
    LocalPodOptions,
    'pod' | 'directory' | 'outputDirectory' | 'configMaps' | 'serviceAccountToken'
  >,
): Promise<ReadonlyMap<string, string>> {
  const { pod, directory, outputDirectory, configMaps, serviceAccountToken } = options;
  const directories = new Map<string, string>();
  await mkdir(directory, { recursive: true });
  const volumes: readonly Volume[] = pod.spec.volumes ?? [];
  for (const volume of volumes) {
    if (!volume.name.startsWith('vouchsafe-') || volume.name === VOLUME.spiffe) continue;
    const places = new Map<string, string>([[VOLUME.secrets, outputDirectory]]);
    const made = { directory, places, configMaps, serviceAccountToken };
    directories.set(volume.name, await makeVolume(volume, made));
  }
  return directories;
}

function startContainer(
  container: Container,
  directories: ReadonlyMap<string, string>,
  options: LocalPodOptions,
): AgentProcess {
  const document = localConfig(documentOf(container), {
    ...options.places,
    mounts: container.volumeMounts ?? [],
    directories,
    terminationLog: join(options.directory, `${container.name}.termination-log`),
  });
  const args = Array.isArray(container['args']) ? container['args'].map(String) : [];
  return startAgentProcess({
    name: container.name,
    command: [...options.command, ...args],
    env: { [CONFIG_VARIABLE]: JSON.stringify(document) },
    onLine: (line) => options.onLine(container.name, line),
  });
}
