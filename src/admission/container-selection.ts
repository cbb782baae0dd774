/**
 * Which containers of the pod see the files, and which are notified of changes.
 */
import type { FileSettings, Settings } from '../config/annotations/index.ts';
import type { NotifyAction } from '../config/schema/index.ts';
import { listUpTo } from '../core/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import { isMeshProxy, isMeshSetup, proxylessStarts } from './meshes.ts';
import { applicationFilter } from './platform-containers.ts';
import type { Container, Named, Pod } from './pod.ts';
import { checkRestart } from './restart-policy.ts';

/** The containers of a pod that an injection involves. */
export interface ContainerSelection {
  /** App containers and init containers that see the files. */
  readonly consumers: readonly Container[];
  /** Containers whose processes the agent signals or restarts. */
  readonly signalled: readonly Container[];
  /** Index of the agent among the init containers. */
  readonly position: number;
}

/** Input of {@link selectContainers}. */
export interface SelectionInput {
  readonly pod: Pod;
  readonly settings: Settings;
  readonly files: readonly FileSettings[];
  readonly prefix: string;
}

/** Selects the containers; reports names that the pod does not have. */
export function selectContainers(
  input: SelectionInput,
  diagnostics: Diagnostics,
): ContainerSelection {
  const { pod, prefix } = input;
  const position = agentPosition(input);
  const preceding = (pod.spec.initContainers ?? []).slice(0, position);
  for (const warning of proxylessStarts(pod, preceding, prefix)) diagnostics.warn(warning);
  return {
    consumers: findConsumers(input, position, diagnostics),
    signalled: signalledContainers(input, diagnostics),
    position,
  };
}

/** App containers and init containers that see the files, which exist from init container `position` on. */
export function findConsumers(
  input: Omit<SelectionInput, 'files'>,
  position: number,
  diagnostics: Diagnostics,
): readonly Container[] {
  const consumers = [
    ...appConsumers(input, diagnostics),
    ...initConsumers(input, position, diagnostics),
  ];
  const { pod, settings, prefix } = input;
  if (consumers.length === 0 && settings.containers.value === undefined) {
    const names = pod.spec.containers.slice(0, MAX_MISSING).map(({ name }) => `"${name}"`);
    diagnostics.warn(
      `${prefix}/containers: no container sees the files: platforms add containers with the names ${names.join(', ')}; name those that should see the files`,
    );
  }
  return consumers;
}

/**
 * First, so that later init containers find their files; but after the init containers of a mesh, so that no connection
 * goes past it, and after its native sidecar, without which there is no network. Init containers that see the files
 * take precedence over a mesh whose proxy is an ordinary container, because they have no proxy either.
 */
function agentPosition({ pod, settings }: Omit<SelectionInput, 'files'>): number {
  if (settings['init-first'].value) return 0;
  const init = pod.spec.initContainers ?? [];
  const hasProxy = init.some((one) => isSidecar(one) && isMeshProxy(one.name));
  const wanted = settings['init-containers'].value ?? [];
  const names = new Set(wanted === 'all' ? [] : wanted);
  const isWanted = wanted === 'all' ? applicationFilter(pod) : (one: Named) => names.has(one.name);
  const first = hasProxy ? -1 : init.findIndex(isWanted);
  const preceding = first < 0 ? init : init.slice(0, first);
  return (
    preceding.findLastIndex(
      (one) => isMeshSetup(one.name) || (isSidecar(one) && isMeshProxy(one.name)),
    ) + 1
  );
}

/** The containers that run at the same time as the agent: app containers and native sidecars. */
export function runningContainers({ spec }: Pod): readonly Container[] {
  return [...spec.containers, ...(spec.initContainers ?? []).filter(isSidecar)];
}

function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always';
}

function appConsumers(
  { pod, settings, prefix }: Omit<SelectionInput, 'files'>,
  diagnostics: Diagnostics,
): Container[] {
  const all = pod.spec.containers;
  const names = settings.containers.value;
  if (names === undefined) return all.filter(applicationFilter(pod));
  return choose(names, all, `${prefix}/containers`, diagnostics);
}

function initConsumers(
  { pod, settings, prefix }: Omit<SelectionInput, 'files'>,
  position: number,
  diagnostics: Diagnostics,
): Container[] {
  const wanted = settings['init-containers'].value;
  const all = pod.spec.initContainers ?? [];
  const following = all.slice(position);
  if (wanted === undefined) return [];
  if (wanted === 'all') return following.filter(applicationFilter(pod));
  const path = `${prefix}/init-containers`;
  const chosen = choose(wanted, all, path, diagnostics);
  for (const { name } of chosen.filter((one) => !following.includes(one))) {
    diagnostics.invalid({ path, message: `init container "${name}" runs before the agent` });
  }
  return chosen;
}

function choose(
  names: readonly string[],
  among: readonly Container[],
  path: string,
  diagnostics: Diagnostics,
): Container[] {
  const known = new Set(among.map(({ name }) => name));
  const wanted = new Set(names);
  for (const name of [...wanted].filter((one) => !known.has(one)).slice(0, MAX_MISSING)) {
    diagnostics.invalid({ path, message: missingContainer(name, known) });
  }
  return among.filter(({ name }) => wanted.has(name));
}

/** Maximum number of missing containers that are reported, and of existing ones in the message. */
const MAX_MISSING = 10;

function missingContainer(name: string, known: ReadonlySet<string>): string {
  const names = listUpTo([...known], MAX_MISSING);
  return `there is no container "${name}"${names === '' ? '' : `; choose from ${names}`}`;
}

function signalledContainers(input: SelectionInput, diagnostics: Diagnostics): Container[] {
  const { pod, prefix } = input;
  const running = runningContainers(pod);
  const wanted = actionsOf(input).filter(({ action }) => action.kind !== 'http');
  const known = new Set(running.map(({ name }) => name));
  const targets = new Map<string, string>();
  const restarted = new Map<string, string>();
  for (const { path, action } of wanted) {
    if (!('container' in action)) continue;
    if (!targets.has(action.container)) targets.set(action.container, path);
    if (action.kind === 'restart') restarted.set(action.container, path);
  }
  const absent = [...targets].filter(([name]) => !known.has(name)).slice(0, MAX_MISSING);
  for (const [name, path] of absent)
    diagnostics.invalid({ path, message: missingContainer(name, known) });
  for (const container of running.filter(({ name }) => restarted.has(name)).slice(0, MAX_MISSING)) {
    checkRestart(pod, container, restarted.get(container.name) ?? prefix, diagnostics);
  }
  if (wanted.length > 0) checkSharedProcesses(pod, wanted[0]?.path ?? prefix, diagnostics);
  return running.filter(({ name }) => targets.has(name));
}

/** Reports a pod in which the agent cannot see only the processes of the pod. */
export function checkSharedProcesses(pod: Pod, path: string, diagnostics: Diagnostics): void {
  if (pod.spec.shareProcessNamespace === false) {
    const message =
      'conflicts with shareProcessNamespace: false of the pod: the agent must see the process that it signals';
    diagnostics.invalid({ path, message });
  }
  if (pod.spec.hostPID === true) {
    const message =
      'conflicts with hostPID: true of the pod: the agent would see every process of the node';
    diagnostics.invalid({ path, message });
  }
}

function actionsOf({
  settings,
  files,
  prefix,
}: SelectionInput): { readonly path: string; readonly action: NotifyAction }[] {
  const ofSet = (settings['on-change'].value ?? []).map((action) => ({
    path: `${prefix}/on-change`,
    action,
  }));
  const ofFiles = files.flatMap((file) =>
    (file['on-change']?.value ?? []).map((action) => ({
      path: `${prefix}/on-change-${file.name}`,
      action,
    })),
  );
  return [...ofSet, ...ofFiles];
}
